// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory to which nothing points any more, where the kernel has kmemleak: it looks when it is asked to.
 * One that has it and cannot be asked ends the agent: silence would pass for no leak.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define KMEMLEAK	"/sys/kernel/debug/kmemleak"
#define BUILT_IN	"/sys/module/kmemleak"	/* its parameters; there if the kernel has it at all */
#define AGE_MS		5500	/* what is younger than 5 s may still be on its way into a list */
#define SCANS		2	/* what the first one finds is told only if it is unchanged in the second */

void look_for_leaks(void)
{
#ifndef ABX_HOST_TEST
	static const char scan[] = "scan";
	int fd = open(KMEMLEAK, O_WRONLY | O_CLOEXEC);
	int i;

	if (fd < 0 && access(BUILT_IN, F_OK))
		return;
	if (fd < 0)
		die("kmemleak cannot be asked: %s: %s", KMEMLEAK, strerror(errno));
	nap(AGE_MS);
	for (i = 0; i < SCANS; i++)
		if (write(fd, scan, sizeof(scan) - 1) != (ssize_t)sizeof(scan) - 1)
			die("kmemleak does not look: %s", strerror(errno));
	close(fd);
#endif
}
