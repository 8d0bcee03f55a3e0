// SPDX-License-Identifier: GPL-2.0-only
/* The call with its first, second, third … allocation or copy failing. */
#include "contract.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FAIL_NTH	"/proc/thread-self/fail-nth"
#define DEBUGFS		"/sys/kernel/debug/"

static int file;

enum injected { INJECTED, NOT_INJECTED };

/*
 * From the write to the read, nothing but the call: the counter belongs to this thread, counts what
 * the thread does inside the kernel, and a page fault would count, too. A process that the call
 * makes has a counter of its own, at 0, and ends before it could reach ours by the file. The write
 * sets it as its last act. The read formats the number before it copies it out; if that
 * copy is what fails, the counter stood at 1, and nothing had been injected into the call.
 * Where it stood at 2, since the call did one thing less than the time before, what fails is the copy
 * of the write that resets it: that was the failure, and the write is made again.
 */
static enum injected call_with(const char *nth, size_t digits, int64_t *result)
{
	char left[16];
	ssize_t got;
	int error;

	if (pwrite(file, nth, digits, 0) != (ssize_t)digits)
		trouble("fail-nth cannot be written: %s", strerror(errno));
	*result = call_make();
	got = pread(file, left, sizeof(left) - 1, 0);
	error = errno;
	if (pwrite(file, "0", 1, 0) != 1 && (errno != EFAULT || pwrite(file, "0", 1, 0) != 1))
		trouble("fail-nth cannot be reset: %s", strerror(errno));
	if (got < 0 && error == EFAULT)
		return NOT_INJECTED;
	if (got <= 0)
		trouble("fail-nth cannot be read: %s", strerror(error));
	left[got] = '\0';
	return strcmp(left, "0\n") ? NOT_INJECTED : INJECTED;
}

/* Whatever this program touches in call_with() is touched here first. */
static void warm_up(void)
{
	const struct test_case *test = call.test;
	static struct test_case other;
	int64_t result;

	other.number = 0x3fffffff;	/* behind no door */
	call.test = &other;
	call_with("0", 1, &result);
	call.test = test;
}

/*
 * By default an allocation that may wait is spared, which is nearly each one of a system call, and so
 * is a single page; and each failure is told on the console with a trace, which nobody asked for. A
 * kind that this kernel does not have is no matter.
 */
static void spare_nothing(void)
{
	static const struct {
		const char *path, *value;
	} settings[] = {
		{ DEBUGFS "failslab/ignore-gfp-wait", "N" },
		{ DEBUGFS "failslab/verbose", "0" },
		{ DEBUGFS "fail_page_alloc/ignore-gfp-wait", "N" },
		{ DEBUGFS "fail_page_alloc/min-order", "0" },
		{ DEBUGFS "fail_page_alloc/verbose", "0" },
		{ DEBUGFS "fail_usercopy/verbose", "0" },
	};
	unsigned int i;

	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		const char *value = settings[i].value;
		int fd = open(settings[i].path, O_WRONLY | O_CLOEXEC);

		if (fd < 0)
			continue;
		if (write(fd, value, strlen(value)) != (ssize_t)strlen(value))
			trouble("%s: %s", settings[i].path, strerror(errno));
		close(fd);
	}
}

void run_failnth(const struct run *run)
{
	uint32_t nth, injected = 0;
	unsigned int before;
	int64_t result = 0;

	file = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	if (file < 0 && errno == ENOENT)
		skip("this kernel has no " FAIL_NTH);
	if (file < 0)
		trouble(FAIL_NTH ": %s", strerror(errno));
	spare_nothing();
	before = count_descriptors();
	warm_up();
	for (nth = 1; nth <= run->number[0]; nth++) {
		enum injected how;
		char digits[16];
		unsigned int now;

		snprintf(digits, sizeof(digits), "%u", nth);
		memory_fill(call.test);
		how = call_with(digits, strlen(digits), &result);
		if (how == NOT_INJECTED)
			break;
		injected++;
		if (result != -ENOMEM && result != -EFAULT && !met(result)) {
			judge_result(result);
			say("when failure %u was injected; ENOMEM and EFAULT are good, too", nth);
			return;
		}
		release(result);
		now = count_descriptors();
		if (now != before) {
			say_returned(result);
			fail("when failure %u was injected: %u descriptors were open before, "
			     "%u afterwards", nth, before, now);
			return;
		}
	}
	judge(result);
	if (nth > run->number[0])
		fail("after %u failures it still meets one", injected);
	else
		release(result);
	check_descriptors(before);
	if (!injected)
		fail("injected 0: nothing of the call could be made to fail");
	else
		say("injected %u", injected);
}
