// SPDX-License-Identifier: GPL-2.0-only
/*
 * A played fail-nth for kernels without fault injection, linked into the prober by --wrap. The
 * call has POINTS places that can fail; at them it gives ERROR, and leaks a descriptor if LEAK is
 * set; from call number LESS on it has one place less. Reading the counter is one more place, and so is
 * writing it before it is set, as with a real kernel's copies to and from user space.
 *
 *	POINTS=N ERROR=NUMBER [LEAK=1] [LESS=NUMBER] ./contract FILE
 */
#include "contract.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
ssize_t __real_pwrite(int fd, const void *bytes, size_t count, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t count, off_t offset);
ssize_t __wrap_pread(int fd, void *bytes, size_t count, off_t offset);
int64_t __real_call_make(void);
int64_t __wrap_call_make(void);

static int file = -1;
static long counter;

static long number(const char *name)
{
	const char *text = getenv(name);

	return text ? atol(text) : 0;
}

int __wrap_open(const char *path, int flags, ...)
{
	va_list list;
	int mode;

	va_start(list, flags);
	mode = va_arg(list, int);
	va_end(list);
	if (strcmp(path, "/proc/thread-self/fail-nth"))
		return __real_open(path, flags, mode);
	file = __real_open("/dev/null", flags);
	return file;
}

/* True: here it happens. */
static bool happens(void)
{
	return counter && !--counter;
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
	char text[16] = "";

	if (fd != file)
		return __real_pwrite(fd, bytes, count, offset);
	if (happens()) {
		errno = EFAULT;
		return -1;
	}
	memcpy(text, bytes, count);
	counter = atol(text);
	return (ssize_t)count;
}

ssize_t __wrap_pread(int fd, void *bytes, size_t count, off_t offset)
{
	long shown = counter;

	(void)fd;
	(void)offset;
	if (happens()) {
		errno = EFAULT;
		return -1;
	}
	return snprintf(bytes, count, "%ld\n", shown);
}

int64_t __wrap_call_make(void)
{
	long i, points = number("POINTS");
	static long calls;

	/* The call that is made to warm up is behind no door. */
	if (file < 0 || call.test->number == 0x3fffffff)
		return __real_call_make();
	if (++calls >= number("LESS") && number("LESS"))
		points--;
	for (i = 0; i < points; i++) {
		if (!happens())
			continue;
		if (number("LEAK"))
			dup(0);
		return -number("ERROR");
	}
	return __real_call_make();
}
