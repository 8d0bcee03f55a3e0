// SPDX-License-Identifier: GPL-2.0-only
/*
 * Proof of entry: which door of the kernel a program went through, as the kernel saw it.
 *
 * PTRACE_GET_SYSCALL_INFO says at every entry which architecture and number the kernel
 * dispatches by, which no compiler flag and no ELF header can promise. It also says whether
 * a stop is an entry, so nothing has to be remembered about threads: they may be born, exec
 * or die in any order.
 */
#include "agent.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define SYSCALL_STOP	(SIGTRAP | 0x80)

/* glibc declares the request as an enum, and the address as a pointer. */
static long request(int what, pid_t pid, unsigned long address, void *data)
{
	return ptrace(what, pid, (void *)address, data);
}

/*
 * So many entries prove as much as any more would. From there on the program runs undisturbed: a
 * stop at every call makes one that calls a hundred thousand times slower than its deadline.
 */
#define ENOUGH	1000

static bool has_enough(const struct trace *trace, const struct plan_run *plan)
{
	unsigned int i;

	for (i = 0; i < plan->doors; i++)
		if (trace->entries[i] >= ENOUGH)
			return true;
	return false;
}

bool trace_attach(struct trace *trace, pid_t pid)
{
	/* SEIZE, not TRACEME: only a seized program can be group-stopped and continued. */
	unsigned long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK |
				PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
				PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;

	if (!request(PTRACE_SEIZE, pid, 0, (void *)options))
		return true;
	trace->error = errno;
	return false;
}

/*
 * A script's shell and the commands that it runs are of the guest's userland, which is there in
 * one ABI alone: what they call is no test's doing.
 */
static bool is_userland(pid_t pid)
{
	static const char *const folder[] = { "/bin/", "/sbin/", "/usr/" };
	char link[32], file[16];
	unsigned int i;
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/%d/exe", pid);
	length = readlink(link, file, sizeof(file) - 1);
	if (length < 0)
		return true;	/* who cannot be told is no proof */
	file[length] = '\0';
	for (i = 0; i < sizeof(folder) / sizeof(folder[0]); i++)
		if (!strncmp(file, folder[i], strlen(folder[i])))
			return true;
	return false;
}

static bool count_entry(struct trace *trace, const struct plan_run *plan, pid_t pid)
{
	struct __ptrace_syscall_info info = { .op = PTRACE_SYSCALL_INFO_NONE };
	unsigned int i;

	if (request(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) < 0) {
		if (errno == ESRCH)
			return true;	/* killed while it was stopped */
		trace->error = errno;
		return false;
	}
	if (info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return true;
	trace->syscalls++;
	for (i = 0; i < plan->doors; i++)
		if (info.arch == plan->door[i].arch &&
		    info.entry.nr == plan->door[i].nr && !is_userland(pid))
			trace->entries[i]++;
	return true;
}

static bool is_group_stop(int signal)
{
	return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN ||
	       signal == SIGTTOU;
}

bool trace_stopped(struct trace *trace, const struct plan_run *plan,
		   pid_t main_pid, pid_t pid, int status)
{
	int signal = WSTOPSIG(status);
	int event = status >> 16;
	int resume = PTRACE_SYSCALL;
	unsigned long deliver = 0;

	if (signal == SYSCALL_STOP) {
		if (!count_entry(trace, plan, pid))
			return false;
	} else if (event == PTRACE_EVENT_STOP) {
		/* A new child or thread starts with one that carries SIGTRAP. */
		if (is_group_stop(signal))
			resume = PTRACE_LISTEN;
	} else if (event == PTRACE_EVENT_EXEC) {
		if (pid == main_pid)
			trace->counting = true;
	} else if (!event) {
		deliver = (unsigned long)signal;
	}
	/* Until the program has replaced our fork, its system calls are ours. */
	if (resume == PTRACE_SYSCALL && (!trace->counting || has_enough(trace, plan)))
		resume = PTRACE_CONT;
	/* A tracee may die at any time; it is then reaped like every other. */
	(void)request(resume, pid, 0, (void *)deliver);
	return true;
}
