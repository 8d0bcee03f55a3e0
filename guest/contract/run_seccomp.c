// SPDX-License-Identifier: GPL-2.0-only
/* What a seccomp filter sees of the call: architecture and number. */
#include "contract.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <ucontext.h>

#define FIELD(name)	(uint32_t)offsetof(struct seccomp_data, name)

#ifdef __x86_64__
#define RESULT	REG_RAX
#else
#define RESULT	REG_EAX
#endif

/* What no call returns. It comes back where the call stood if the kernel left that alone. */
#define TRAPPED	0x5ecc0de

static volatile sig_atomic_t traps;
static volatile uint32_t trapped_arch, trapped_nr;
static volatile int trapped_code;

static void on_trap(int signal, siginfo_t *info, void *context)
{
	ucontext_t *user = context;

	(void)signal;
	traps++;
	trapped_code = info->si_code;
	trapped_arch = info->si_arch;
	trapped_nr = (uint32_t)info->si_syscall;
	user->uc_mcontext.gregs[RESULT] = TRAPPED;
}

/* From here on this program makes no call but the one that is tested, and exit_group. */
static void filter(uint32_t arch, uint32_t nr, uint32_t action)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, FIELD(arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arch, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, FIELD(nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		trouble("no seccomp filter: %s", strerror(errno));
}

static void run_trap(uint32_t arch, uint32_t nr)
{
	struct sigaction action;
	int64_t result;

	memset(&action, 0, sizeof(action));
	action.sa_sigaction = on_trap;
	action.sa_flags = SA_SIGINFO;
	if (sigaction(SIGSYS, &action, NULL))
		trouble("sigaction: %s", strerror(errno));
	filter(arch, nr, SECCOMP_RET_TRAP);
	result = enter(call.test->door, call.test->number, call_args);
	if (!traps) {
		judge_result(result);
		fail("expected SIGSYS: a filter for arch 0x%x, number %u does not see it", arch,
		     nr);
		return;
	}
	if (result == TRAPPED)
		say("returned nothing, it was trapped");
	else
		fail("returned %lld instead of nothing: it was made in spite of the trap",
		     (long long)result);
	if (traps != 1)
		fail("%d SIGSYS instead of one", (int)traps);
	if (trapped_code != 1 /* SYS_SECCOMP */)
		fail("SIGSYS has si_code %d", trapped_code);
	if (trapped_arch != arch || trapped_nr != nr)
		fail("SIGSYS has arch 0x%x, number %u, not 0x%x, %u", trapped_arch, trapped_nr,
		     arch, nr);
	memory_check(call.test);
}

void run_seccomp(const struct run *run)
{
	int64_t result;

	if (run->kind == RUN_SECCOMP) {
		run_trap(run->number[0], run->number[1]);
		return;
	}
	filter(run->number[0], run->number[1], SECCOMP_RET_KILL_PROCESS);
	result = call_make();
	judge(result);
}
