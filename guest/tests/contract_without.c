// SPDX-License-Identifier: GPL-2.0-only
/* A kernel without epoll, and one without futexes, which threads need: linked into the prober by --wrap. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

int __wrap_epoll_create1(int flags);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument);

int __wrap_epoll_create1(int flags)
{
	(void)flags;
	errno = ENOSYS;
	return -1;
}

/* What glibc does where a futex gives it an error that it does not know. */
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument)
{
	(void)thread;
	(void)attributes;
	(void)start;
	(void)argument;
	abort();
}
