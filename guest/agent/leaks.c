// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory to which nothing points any more. The kernel looks when it is asked to, which it is where the
 * command line says so; then a kernel that cannot look ends the agent: silence would pass for no leak.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#ifndef ABX_HOST_TEST
#define KMEMLEAK	"/sys/kernel/debug/kmemleak"
#define WANTED		"kmemleak=on"
#define AGE_MS		5500	/* what is younger than 5 s may still be on its way into a list */
#define SCANS		2	/* what the first one finds is told only if it is unchanged in the second */

static int file = -1;

static void ask(const char *words)
{
	if (write(file, words, strlen(words)) != (ssize_t)strlen(words))
		die("kmemleak does not look: %s: %s", words, strerror(errno));
}
#endif

/* Before any program: one that runs as root could take the file away. */
void open_leaks(void)
{
#ifndef ABX_HOST_TEST
	char line[4096];

	if (!read_line("/proc/cmdline", line, sizeof(line)))
		die("cannot read /proc/cmdline: %s", strerror(errno));
	if (!has_word(line, WANTED))
		return;
	file = open(KMEMLEAK, O_WRONLY | O_CLOEXEC);
	if (file < 0)
		die("kmemleak cannot be asked: %s: %s", KMEMLEAK, strerror(errno));
#endif
}

void look_for_leaks(void)
{
#ifndef ABX_HOST_TEST
	int i;

	if (file < 0)
		return;
	nap(AGE_MS);
	for (i = 0; i < SCANS; i++)
		ask("scan");
	/* What it does in any case. But one that gave up during the scan, for want of memory, says no. */
	ask("stack=on");
	close(file);
#endif
}
