// SPDX-License-Identifier: GPL-2.0-only
/* One case: a child with a folder and a deadline, and the end of all that it left. */
#include "contract.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* For what is killed to be gone. Far more than it takes, unless the kernel holds it. */
#define END_MS	5000

/* ---- the child ---- */

static void prepare_child(const char *folder)
{
	struct rlimit limit = { DESCRIPTORS_MAX, DESCRIPTORS_MAX }, old, no_core = { 0, 0 };
	int fd, null;

	/* Whatever the call does to descriptors, it does not write into the report. */
	null = open("/dev/null", O_RDWR);
	if (null < 0)
		trouble("/dev/null: %s", strerror(errno));
	for (fd = 0; fd < 3; fd++)
		if (dup2(null, fd) < 0)
			trouble("dup2: %s", strerror(errno));
	/* Without this call (before 5.9) those that the agent's programs could have. */
	if (syscall(SYS_close_range, 3, ~0u, 0))
		for (fd = 3; fd < DESCRIPTORS_MAX; fd++)
			close(fd);
	if (getrlimit(RLIMIT_NOFILE, &old) || old.rlim_max < DESCRIPTORS_MAX ||
	    setrlimit(RLIMIT_NOFILE, &limit) || setrlimit(RLIMIT_CORE, &no_core))
		trouble("setrlimit: %s", strerror(errno));
	if (chdir(folder))
		trouble("chdir: %s", strerror(errno));
	umask(022);
	folder_fill();
}

static void make_world(const struct test_case *test)
{

	things_make(test, THING_FILE, THING_OTHER);
	if (test->run.kind == RUN_CREDS)
		creds_become(&test->run);
	things_make(test, THING_CHILD, THING_UNDUMPABLE);
	memory_map(test);
	memory_fill(test);
	memory_protect(test);
	call_prepare();
}

static void run_call(void)
{
	judge(call_make());
}

static void __attribute__((noreturn)) child_life(const struct test_case *test, const char *folder)
{
	const struct run *run = &test->run;

	call.test = test;
	call.self = getpid();
	prepare_child(folder);
	make_world(test);
	report->phase = PHASE_CALL;
	switch (run->kind) {
	case RUN_CALL:
	case RUN_CREDS:
		run_call();
		break;
	case RUN_CLOEXEC:
		run_cloexec();
		break;
	case RUN_LOWEST:
		run_lowest();
		break;
	case RUN_NOFILE:
		run_nofile();
		break;
	case RUN_GETFL:
		run_getfl(run);
		break;
	case RUN_POLL:
		run_poll(run);
		break;
	case RUN_NOPOLL:
		run_nopoll();
		break;
	case RUN_REPEAT:
		run_repeat(run);
		break;
	case RUN_INTERRUPT:
		run_interrupt(run);
		break;
	case RUN_THREADS:
		run_threads(run);
		break;
	case RUN_FAILNTH:
		run_failnth(run);
		break;
	case RUN_SECCOMP:
	case RUN_SECCOMP_OTHER:
		run_seccomp(run);
		break;
	}
	finish();
}

/* ---- the parent ---- */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* False: the deadline. */
static bool wait_until(pid_t pid, uint64_t end, int *status)
{
	struct pollfd fd = { .events = POLLIN };
	bool over = false;

	fd.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	while (!over) {
		uint64_t now = now_ms();
		int left = now < end ? (int)(end - now) : 0;

		/* Without a pidfd (before 5.3) a short sleep does as well. */
		poll(&fd, 1, fd.fd < 0 && left > 5 ? 5 : left);
		over = waitpid(pid, status, WNOHANG) == pid;
		if (!left)
			break;
	}
	if (fd.fd >= 0)
		close(fd.fd);
	return over;
}

/* Those who have left the group of the case are our children all the same: see main(). */
static void kill_children(void)
{
	struct dirent *entry;
	DIR *proc = opendir("/proc");

	if (!proc)
		return;
	while ((entry = readdir(proc))) {
		char path[300], line[512], *tail;
		ssize_t got;
		int fd, parent;

		if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		got = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
		if (fd >= 0)
			close(fd);
		if (got <= 0)
			continue;	/* gone in the meantime */
		line[got] = '\0';
		tail = strrchr(line, ')');
		if (tail && sscanf(tail, ") %*c %d", &parent) == 1 && parent == getpid())
			kill(atoi(entry->d_name), SIGKILL);
	}
	closedir(proc);
}

/* Ends all that the case left behind. False: it does not end. */
static bool end_all(pid_t group)
{
	const struct timespec moment = { 0, 1000000 };
	uint64_t end = now_ms() + END_MS;

	kill(-group, SIGKILL);
	for (;;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG | __WALL);

		if (pid < 0)
			return errno == ECHILD;
		if (pid)
			continue;
		if (now_ms() >= end)
			return false;
		kill_children();
		nanosleep(&moment, NULL);
	}
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	(void)stat;
	(void)type;
	(void)ftw;
	remove(path);
	return 0;
}

static void died(int status)
{
	if (!WIFSIGNALED(status))
		fail("the process ended by itself, with status %d", WEXITSTATUS(status));
	else if (sigabbrev_np(WTERMSIG(status)))
		fail("killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
	else
		fail("killed by signal %d", WTERMSIG(status));
	/* Before the call was due, it is not the call's doing. */
	if (report->phase == PHASE_SETUP) {
		strcpy(report->reason, "the process ended before the call");
		report->verdict = VERDICT_ERROR;
	} else {
		report->verdict = VERDICT_NOT_OK;
	}
}

static void run_child(const struct test_case *test, const char *folder)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		child_life(test, folder);
	}
	if (pid < 0) {
		snprintf(report->reason, sizeof(report->reason), "fork: %s", strerror(errno));
		report->verdict = VERDICT_ERROR;
		return;
	}
	setpgid(pid, pid);	/* either of the two is the first */
	if (!wait_until(pid, now_ms() + test->deadline_ms, &status)) {
		fail("did not end within %u ms", test->deadline_ms);
		strcpy(report->reason, "the case was not ready for the call in time");
		report->verdict = report->phase == PHASE_SETUP ? VERDICT_ERROR : VERDICT_NOT_OK;
	} else if (!report->verdict) {
		died(status);
	}
	if (!end_all(pid)) {
		fail("a process of the case cannot be killed");
		report->verdict = VERDICT_NOT_OK;
	}
}

/* The answer is -ENOSYS, and what needs another one is not done. */
static void expect_enosys(struct test_case *test)
{
	test->absent = true;
	test->expect.kind = EXPECT_RESULTS;
	test->expect.results = 1;
	test->expect.result[0] = -ENOSYS;
	test->afters = 0;
	switch (test->run.kind) {
	case RUN_CALL:
	case RUN_NOFILE:
	case RUN_REPEAT:
	case RUN_CREDS:
	case RUN_SECCOMP_OTHER:
		break;
	case RUN_THREADS:	/* C's threads need futexes, and the option may be theirs */
	case RUN_CLOEXEC:
	case RUN_LOWEST:
	case RUN_GETFL:
	case RUN_POLL:
	case RUN_NOPOLL:
	case RUN_INTERRUPT:
	case RUN_FAILNTH:
	case RUN_SECCOMP:
		test->run.kind = RUN_CALL;
		break;
	}
}

enum verdict case_run(struct test_case *test, enum mode mode)
{
	char folder[] = "contract.XXXXXX";

	if (mode == MODE_ENOSYS)
		expect_enosys(test);
	else if (mode == MODE_GOOD)
		test->run.kind = RUN_CALL;
	/* The child becomes nobody, and has to stay able to use its folder. */
	report_clear();
	if (!mkdtemp(folder) || chmod(folder, 0755)) {
		snprintf(report->reason, sizeof(report->reason), "mkdtemp: %s", strerror(errno));
		report->verdict = VERDICT_ERROR;
		return report->verdict;
	}
	run_child(test, folder);
	nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	return report->verdict;
}
