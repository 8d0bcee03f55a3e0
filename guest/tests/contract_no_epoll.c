// SPDX-License-Identifier: GPL-2.0-only
/* A kernel without epoll, played: linked into the prober by --wrap. */
#include <errno.h>

int __wrap_epoll_create1(int flags);

int __wrap_epoll_create1(int flags)
{
	(void)flags;
	errno = ENOSYS;
	return -1;
}
