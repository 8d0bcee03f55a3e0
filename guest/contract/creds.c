// SPDX-License-Identifier: GPL-2.0-only
/* Becomes somebody else. What cannot be had is trouble, not a result. */
#include "contract.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOBODY	65534

void dumpable(bool yes)
{
	if (prctl(PR_SET_DUMPABLE, yes))
		trouble("prctl(PR_SET_DUMPABLE): %s", strerror(errno));
}

/* All that this system has to give: in a guest, all. */
static uint64_t all_caps(void)
{
	uint64_t caps = 0;
	unsigned int i;

	for (i = 0; i < 64; i++)
		if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
			caps |= 1ULL << i;
	return caps;
}

static void get_caps(uint64_t *effective, uint64_t *permitted)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	memset(data, 0, sizeof(data));
	if (syscall(SYS_capget, &header, data))
		trouble("capget: %s", strerror(errno));
	*effective = (uint64_t)data[1].effective << 32 | data[0].effective;
	*permitted = (uint64_t)data[1].permitted << 32 | data[0].permitted;
}

static void set_caps(uint64_t caps)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];
	uint64_t effective, permitted;
	int i;

	for (i = 0; i < 2; i++) {
		data[i].effective = data[i].permitted = (uint32_t)(caps >> 32 * i);
		data[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &header, data))
		trouble("capset: %s", strerror(errno));
	get_caps(&effective, &permitted);
	if (effective != caps || permitted != caps)
		trouble("capset gave other capabilities");
}

static void become_nobody(uint64_t caps)
{
	uid_t real, effective, saved;

	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) || setgroups(0, NULL) ||
	    setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY))
		trouble("these credentials cannot be had: %s (it needs root)", strerror(errno));
	if (getresuid(&real, &effective, &saved) || real != NOBODY || effective != NOBODY ||
	    saved != NOBODY)
		trouble("setresuid gave other ids");
	set_caps(caps);
}

static void write_map(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		trouble("%s: %s", path, strerror(errno));
	close(fd);
}

/* Of the outer namespace it is nobody there: all it can do, it can do inside. */
static void become_inner_root(void)
{
	uint64_t effective, permitted;
	char uids[40], gids[40];

	if (!geteuid())
		become_nobody(0);
	dumpable(true);		/* or /proc/self belonged to root */
	snprintf(uids, sizeof(uids), "0 %u 1", (unsigned int)geteuid());
	snprintf(gids, sizeof(gids), "0 %u 1", (unsigned int)getegid());
	if (unshare(CLONE_NEWUSER))
		trouble("unshare(CLONE_NEWUSER): %s", strerror(errno));
	write_map("/proc/self/uid_map", uids);
	write_map("/proc/self/setgroups", "deny");
	write_map("/proc/self/gid_map", gids);
	get_caps(&effective, &permitted);
	if (getuid() || geteuid() || !effective || effective != permitted)
		trouble("the user namespace has no root");
}

void creds_become(const struct run *run)
{
	uint64_t all = all_caps(), one = 1ULL << run->number[0];
	uint64_t effective, permitted;

	switch (run->creds) {
	case CREDS_ROOT:
		get_caps(&effective, &permitted);
		if (getuid() || geteuid() || !effective || effective != all || permitted != all)
			trouble("this is not root with all capabilities");
		return;
	case CREDS_CAP:
	case CREDS_NOCAP:
		if (!(all & one))
			trouble("capability %u cannot be had here", run->number[0]);
		become_nobody(run->creds == CREDS_CAP ? one : all & ~one);
		break;
	case CREDS_NONE:
		become_nobody(0);
		break;
	case CREDS_USERNS:
		become_inner_root();
		break;
	}
	/* Whoever changes his credentials is not dumpable, and neither are his children. */
	dumpable(true);
}
