// SPDX-License-Identifier: GPL-2.0-only
/* The call, and whether what came back is what was promised. */
#include "contract.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct call call;
__thread uint64_t call_args[ARGS];

void call_prepare(void)
{
	unsigned int i;

	for (i = 0; i < ARGS; i++)
		call_args[i] = value_of(&call.test->arg[i]);
}

int64_t call_make(void)
{
	int64_t result = enter(call.test->door, call.test->number, call_args);

	/* A call that makes processes comes back in them, too: with 0. */
	if (!result && getpid() != call.self)
		_exit(0);
	return result;
}

int64_t call_again(void)
{
	memory_fill(call.test);
	return call_make();
}

static bool is_descriptor(int64_t result)
{
	return result >= 0 && result <= INT32_MAX && fcntl((int)result, F_GETFD) >= 0;
}

bool met(int64_t result)
{
	const struct expectation *expect = &call.test->expect;
	unsigned int i;

	switch (expect->kind) {
	case EXPECT_FD:
		return is_descriptor(result);
	case EXPECT_PID:
		return result > 0 && result <= INT32_MAX;
	case EXPECT_POSITIVE:
		return result > 0;
	case EXPECT_ANY:
		return true;
	case EXPECT_RESULTS:
	case EXPECT_NOT:
		break;
	}
	for (i = 0; i < expect->results; i++)
		if (expect->result[i] == result)
			return expect->kind == EXPECT_RESULTS;
	return expect->kind == EXPECT_NOT;
}

void say_returned(int64_t result)
{
	enum expect_kind kind = call.test->expect.kind;
	const char *name = errno_name(-result);

	if (name)
		say("returned %lld (%s)", (long long)result, name);
	else if (kind == EXPECT_FD && met(result) && call.test->run.kind == RUN_LOWEST)
		say("returned a descriptor, %d", (int)result);
	else if (kind == EXPECT_FD && met(result))
		say("returned a descriptor");
	else if (kind == EXPECT_PID && met(result))
		say("returned a pid");
	else if (result && (kind == EXPECT_ANY || kind == EXPECT_NOT))
		/* It may be an address, which differs from run to run. */
		say("returned a %s number", result > 0 ? "positive" : "negative");
	else
		say("returned %lld", (long long)result);
}

static void say_expected(void)
{
	const struct expectation *expect = &call.test->expect;
	char text[300] = "anything but ";
	size_t used = expect->kind == EXPECT_NOT ? strlen(text) : 0;
	unsigned int i;

	switch (expect->kind) {
	case EXPECT_FD:
		fail("expected a descriptor");
		return;
	case EXPECT_PID:
		fail("expected a pid");
		return;
	case EXPECT_POSITIVE:
		fail("expected a positive number");
		return;
	case EXPECT_ANY:
	case EXPECT_RESULTS:
	case EXPECT_NOT:
		break;
	}
	for (i = 0; i < expect->results && used < sizeof(text) - 40; i++) {
		const char *name = errno_name(-expect->result[i]);

		if (i)
			used += (size_t)sprintf(text + used, " or ");
		if (name)
			used += (size_t)sprintf(text + used, "%s", name);
		else
			used += (size_t)sprintf(text + used, "%lld",
						(long long)expect->result[i]);
	}
	fail("expected %s%s", text, i < expect->results ? " or …" : "");
}

void judge_result(int64_t result)
{
	say_returned(result);
	if (!met(result))
		say_expected();
}

void judge(int64_t result)
{
	judge_result(result);
	if (met(result))
		memory_check(call.test);
}

void release(int64_t result)
{
	if (call.test->expect.kind == EXPECT_FD && is_descriptor(result))
		close((int)result);
	/* Not for a child of ours that lives on. If it is no child at all, no matter. */
	if (call.test->expect.kind == EXPECT_PID && met(result) && !is_thing((pid_t)result))
		waitpid((pid_t)result, NULL, __WALL);
}

unsigned int count_descriptors(void)
{
	unsigned int count = 0;
	int fd;

	for (fd = 0; fd < DESCRIPTORS_MAX; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

int lowest_free(int from)
{
	while (fcntl(from, F_GETFD) >= 0)
		from++;
	return from;
}

void check_descriptors(unsigned int before)
{
	unsigned int now = count_descriptors();

	if (now != before)
		fail("%u descriptors were open before, %u afterwards", before, now);
}
