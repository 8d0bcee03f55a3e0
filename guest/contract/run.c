// SPDX-License-Identifier: GPL-2.0-only
/* What is done with a call and with the descriptor that it gives. */
#include "contract.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* The call's descriptor, or the end. */
static int made_fd(void)
{
	int64_t result = call_make();

	judge(result);
	if (!met(result))
		finish();
	return (int)result;
}

/* ---- close-on-exec ---- */

#define SEEN_OPEN	10
#define SEEN_CLOSED	11

int is_open(const char *number)
{
	return fcntl(atoi(number), F_GETFD) >= 0 ? SEEN_OPEN : SEEN_CLOSED;
}

/* As a new program sees it. */
static int seen_after_exec(int fd)
{
	char number[12];
	int status;
	pid_t pid;

	snprintf(number, sizeof(number), "%d", fd);
	pid = fork();
	if (!pid) {
		execl("/proc/self/exe", "contract", "--is-open", number, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
		trouble("the prober cannot execute itself");
	if (WEXITSTATUS(status) != SEEN_OPEN && WEXITSTATUS(status) != SEEN_CLOSED)
		trouble("the prober cannot execute itself (is /proc mounted?)");
	return WEXITSTATUS(status);
}

void run_cloexec(void)
{
	bool wanted = call.test->run.yes;
	int fd = made_fd();
	int flags = fcntl(fd, F_GETFD);
	int seen;

	if (!!(flags & FD_CLOEXEC) != wanted)
		fail("FD_CLOEXEC is %s", wanted ? "not set" : "set");
	seen = seen_after_exec(fd);
	if (seen != (wanted ? SEEN_CLOSED : SEEN_OPEN))
		fail("after execve the descriptor is %s",
		     seen == SEEN_OPEN ? "open" : "closed");
}

/* ---- numbers ---- */

void run_lowest(void)
{
	int hole, behind, next;
	int64_t result;

	dup(0);		/* not at the edge of what is open already */
	hole = dup(0);
	behind = dup(0);
	if (hole < 0 || behind != hole + 1 || close(hole))
		trouble("no hole can be made in the descriptors");
	next = lowest_free(behind + 1);
	if (lowest_free(0) != hole)
		trouble("the hole is not the lowest free descriptor");
	result = call_make();
	judge(result);
	if (!met(result))
		return;
	if (result != hole)
		fail("the lowest free descriptor is %d", hole);
	result = call_again();
	judge(result);
	if (met(result) && result != next)
		fail("the lowest free descriptor is now %d", next);
}

void run_nofile(void)
{
	struct rlimit limit;
	unsigned int before;
	int64_t result;
	int fd;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		trouble("getrlimit: %s", strerror(errno));
	before = count_descriptors();
	limit.rlim_cur = (rlim_t)before;
	if (lowest_free(0) != (int)before)
		trouble("there is a hole in the descriptors");
	if (setrlimit(RLIMIT_NOFILE, &limit))
		trouble("setrlimit: %s", strerror(errno));
	fd = dup(0);
	if (fd >= 0 || errno != EMFILE)
		trouble("the limit of descriptors is not reached");
	result = call_make();
	judge(result);
	check_descriptors(before);
}

void run_repeat(const struct run *run)
{
	unsigned int before = count_descriptors();
	int64_t result = 0;
	uint32_t i;

	for (i = 0; i < run->number[0]; i++) {
		result = call_again();
		if (!met(result))
			break;
		if (i + 1 == run->number[0])
			break;
		release(result);
	}
	judge(result);
	if (!met(result))
		fail("that was call %u of %u", i + 1, run->number[0]);
	release(result);
	check_descriptors(before);
}

/* ---- the descriptor's file ---- */

void run_getfl(const struct run *run)
{
	int flags = fcntl(made_fd(), F_GETFL);
	uint32_t masked = (uint32_t)flags & run->number[0];

	if (flags < 0)
		fail("fcntl(F_GETFL): %s", errno_name(errno));
	else if (masked != run->number[1])
		fail("F_GETFL gives 0x%x of 0x%x, not 0x%x", masked, run->number[0],
		     run->number[1]);
}

/* False with an errno: it cannot be added. */
static bool by_epoll(int fd, uint32_t events, uint32_t *revents)
{
	struct epoll_event event = { .events = events }, got = { .events = 0 };
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int ready;

	if (epoll < 0)
		trouble("epoll_create1: %s", strerror(errno));
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		return false;
	ready = epoll_wait(epoll, &got, 1, 0);
	if (ready < 0)
		trouble("epoll_wait: %s", strerror(errno));
	*revents = ready ? got.events : 0;
	return true;
}

void run_poll(const struct run *run)
{
	struct pollfd poll_fd = { .events = (short)run->number[0] };
	uint32_t wanted = run->number[1], revents;

	poll_fd.fd = made_fd();
	if (poll(&poll_fd, 1, 0) < 0)
		fail("poll: %s", errno_name(errno));
	else if ((uint16_t)poll_fd.revents != wanted)
		fail("poll gives 0x%x, not 0x%x", (uint16_t)poll_fd.revents, wanted);
	if (!by_epoll(poll_fd.fd, run->number[0], &revents))
		fail("epoll_ctl(EPOLL_CTL_ADD): %s", errno_name(errno));
	else if (revents != wanted)
		fail("epoll gives 0x%x, not 0x%x", revents, wanted);
}

void run_nopoll(void)
{
	uint32_t revents;

	if (by_epoll(made_fd(), EPOLLIN, &revents))
		fail("epoll_ctl(EPOLL_CTL_ADD) takes the descriptor, expected EPERM");
	else if (errno != EPERM)
		fail("epoll_ctl(EPOLL_CTL_ADD): %s, expected EPERM", errno_name(errno));
}
