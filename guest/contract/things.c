// SPDX-License-Identifier: GPL-2.0-only
/* What descriptors and ids of processes a case may ask for, and the folder it finds itself in. */
#include "contract.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_BYTES	8192
#define CLOSED		(DESCRIPTORS_MAX - 1)	/* where it leaves no hole */
#define OTHER_UID	65533			/* that of the case may be 65534 */

static struct {
	bool made;
	int fd;
	pid_t pid;
} made[THINGS];

static void write_pattern(int fd)
{
	unsigned char bytes[FILE_BYTES];
	unsigned int i;

	for (i = 0; i < FILE_BYTES; i++)
		bytes[i] = (unsigned char)(i % 251);
	if (pwrite(fd, bytes, FILE_BYTES, 0) != FILE_BYTES)
		trouble("a file cannot be written: %s", strerror(errno));
}

void folder_fill(void)
{
	int fd;

	fd = open("file", O_RDWR | O_CREAT | O_EXCL, 0644);
	if (fd < 0)
		trouble("open file: %s", strerror(errno));
	write_pattern(fd);
	close(fd);
	if (mkdir("dir", 0755))
		trouble("mkdir dir: %s", strerror(errno));
	fd = open("dir/file", O_RDWR | O_CREAT | O_EXCL, 0644);
	if (fd < 0 || write(fd, "0123456789abcdef", 16) != 16)
		trouble("dir/file: %s", strerror(errno));
	close(fd);
	if (symlink("file", "link") || symlink("loop", "loop") || symlink("nowhere", "dangling"))
		trouble("symlink: %s", strerror(errno));
	if (mkfifo("fifo", 0644))
		trouble("mkfifo: %s", strerror(errno));
}

static int pidfd_of(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

static void __attribute__((noreturn)) child_life(enum thing thing, int ready)
{
	char good = 1;

	if (thing == THING_OTHER &&
	    (setgroups(0, NULL) || setresgid(OTHER_UID, OTHER_UID, OTHER_UID) ||
	     setresuid(OTHER_UID, OTHER_UID, OTHER_UID)))
		good = 0;
	/* Whoever changes his credentials is not dumpable: here, the uid is to be the reason. */
	if (prctl(PR_SET_DUMPABLE, thing != THING_UNDUMPABLE))
		good = 0;
	if (write(ready, &good, 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static pid_t make_child(enum thing thing)
{
	char good = 0;
	int ready[2];
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC))
		trouble("pipe: %s", strerror(errno));
	pid = fork();
	if (!pid) {
		close(ready[0]);
		child_life(thing, ready[1]);
	}
	close(ready[1]);
	if (pid < 0 || read(ready[0], &good, 1) != 1 || !good)
		trouble("a child for the case cannot be made%s",
			thing == THING_OTHER ? ", it needs root" : "");
	close(ready[0]);
	return pid;
}

static int make_pipe(enum thing thing)
{
	enum thing other = thing == THING_PIPE_R ? THING_PIPE_W : THING_PIPE_R;
	int ends[2];

	if (pipe2(ends, 0))
		return -1;
	made[other].made = true;
	made[other].fd = ends[other == THING_PIPE_W];
	return ends[thing == THING_PIPE_W];
}

static int make_fd(enum thing thing)
{
	int fd, pair[2];

	switch (thing) {
	case THING_FILE:
		return open("file", O_RDWR);
	case THING_FILE_RO:
		return open("file", O_RDONLY);
	case THING_FILE_WO:
		return open("file", O_WRONLY);
	case THING_DIR:
		return open("dir", O_RDONLY | O_DIRECTORY);
	case THING_CWD:
		return open(".", O_RDONLY | O_DIRECTORY);
	case THING_PATH:
		return open("file", O_PATH);
	case THING_NULL:
		return open("/dev/null", O_RDWR);
	case THING_PIPE_R:
	case THING_PIPE_W:
		return make_pipe(thing);
	case THING_EVENTFD:
		return eventfd(0, 0);
	case THING_EPOLL:
		return epoll_create1(0);
	case THING_MEMFD:
		fd = memfd_create("contract", 0);
		if (fd >= 0)
			write_pattern(fd);
		return fd;
	case THING_TIMERFD:
		return timerfd_create(CLOCK_MONOTONIC, 0);
	case THING_SOCKET:
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
			return -1;
		return pair[0];	/* and the other end stays open */
	case THING_CLOSED:
		return dup2(0, CLOSED) < 0 || close(CLOSED) ? -1 : CLOSED;
	case THING_SELF:
		made[thing].pid = getpid();
		return pidfd_of(made[thing].pid);
	case THING_CHILD:
	case THING_OTHER:
	case THING_UNDUMPABLE:
	case THING_DEAD:
		made[thing].pid = make_child(thing);
		fd = pidfd_of(made[thing].pid);
		if (thing == THING_DEAD && (kill(made[thing].pid, SIGKILL) ||
					    waitpid(made[thing].pid, NULL, 0) < 0))
			return -1;
		return fd;
	}
	__builtin_unreachable();	/* the reader knows no other */
}

static bool names(const struct value *value, enum thing thing)
{
	unsigned int i;

	for (i = 0; i < value->terms; i++)
		if ((value->term[i].kind == TERM_FD || value->term[i].kind == TERM_PID) &&
		    value->term[i].number == thing)
			return true;
	return false;
}

static bool is_wanted(const struct test_case *test, enum thing thing)
{
	unsigned int i;

	for (i = 0; i < ARGS; i++)
		if (names(&test->arg[i], thing))
			return true;
	for (i = 0; i < test->fills; i++)
		if (test->fill[i].width && names(&test->fill[i].value, thing))
			return true;
	return false;
}

void things_make(const struct test_case *test, enum thing first, enum thing last)
{
	enum thing thing;

	for (thing = first; thing <= last; thing++) {
		if (made[thing].made || !is_wanted(test, thing))
			continue;
		made[thing].fd = make_fd(thing);
		/* The option that is off is its, too: no descriptor will do for a call that is not there. */
		if (made[thing].fd < 0 && (!test->absent || errno != ENOSYS))
			trouble("a thing for the case cannot be made: %s", strerror(errno));
		made[thing].made = true;
	}
}

int thing_fd(enum thing thing)
{
	return made[thing].fd;
}

bool is_thing(pid_t pid)
{
	enum thing thing;

	for (thing = THING_SELF; thing < THINGS; thing++)
		if (made[thing].made && made[thing].pid == pid)
			return true;
	return false;
}

pid_t thing_pid(enum thing thing)
{
	return made[thing].pid;
}
