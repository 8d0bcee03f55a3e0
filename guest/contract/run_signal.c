// SPDX-License-Identifier: GPL-2.0-only
/* Calls that block, and what a signal does to them. */
#include "contract.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <ucontext.h>

#define AFTER_US	100000

#if defined(__x86_64__)
#define INSTRUCTION	REG_RIP
#else
#define INSTRUCTION	REG_EIP
#endif

static volatile sig_atomic_t firsts, seconds;
static volatile bool restarting;

/*
 * The timer comes again and again: a signal that finds us anywhere but in the call, as on a slow
 * machine, is not the one that is meant.
 */
static bool in_call(void *context)
{
	const ucontext_t *user = context;

	return at_door((uintptr_t)user->uc_mcontext.gregs[INSTRUCTION]);
}

static void on_second(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)info;
	if (in_call(context))
		seconds++;
}

static void handle(void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_sigaction = handler;
	action.sa_flags = SA_SIGINFO | flags;
	sigemptyset(&action.sa_mask);
	sigaction(SIGALRM, &action, NULL);
}

static void on_first(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)info;
	if (!in_call(context))
		return;
	firsts++;
	if (restarting)
		handle(on_second, 0);
}

void run_interrupt(const struct run *run)
{
	struct itimerval timer = { { 0, AFTER_US }, { 0, AFTER_US } };
	static const struct itimerval off;
	int64_t result;

	restarting = run->yes;
	handle(on_first, restarting || run->always ? SA_RESTART : 0);
	if (setitimer(ITIMER_REAL, &timer, NULL))
		trouble("setitimer: %s", strerror(errno));
	result = call_make();
	setitimer(ITIMER_REAL, &off, NULL);
	judge(result);
	if (!firsts)
		fail("the call did not block until the signal");
	else if (restarting && !seconds)
		fail("the call ended with the signal instead of being restarted");
}
