// SPDX-License-Identifier: GPL-2.0-only
/* One program from fork to END: its world, its output, its deadline, and what it left behind. */
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define REAP_AT_ONCE	256	/* then the pipes and the clock get their turn */

/* Why the fork did not become the program, through a pipe that execve() closes. */
struct start_error {
	int stage;		/* index into start_stages */
	int error;
};

static const char * const start_stages[] = {
	"execve", "setpgid", "chdir", "open /dev/null", "dup2", "setrlimit",
};

enum { STAGE_EXEC, STAGE_GROUP, STAGE_CHDIR, STAGE_STDIN, STAGE_DUP, STAGE_LIMIT };

struct run {
	const struct plan_run *plan;
	uint16_t index;
	pid_t pid;
	int child_fd;		/* signalfd: some child changed its state */
	int start_fd;		/* a struct start_error or the end of file */
	int out_fd[2];		/* stdout and stderr, -1 when at their end */
	uint64_t out_bytes[2];
	uint64_t started;
	uint64_t ended;
	uint64_t next_beat;
	uint64_t tainted;
	bool more;		/* there may be children left to reap */
	bool alone;		/* we have no descendants at all */
	bool over;		/* the program itself has ended: status and usage are valid */
	bool timed_out;
	bool stuck;
	int status;
	unsigned int leaked;
	struct rusage usage;
	struct start_error start_error;
	struct trace trace;
};

/* ---- the child's side: from fork to execve ---- */

static void __attribute__((noreturn)) fail_start(int fd, int stage)
{
	struct start_error error = { .stage = stage, .error = errno };

	if (write(fd, &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);
}

void reset_signals(void)
{
	sigset_t none;
	int i;

	for (i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The plan's variables, then ours where the plan is silent. */
static void build_environment(const struct plan_run *plan, char **environment)
{
	static char *defaults[] = { "PATH=/bin:/usr/bin", "HOME=/tmp", "LC_ALL=C" };
	unsigned int i, j, used = 0;

	for (i = 0; i < plan->envs; i++)
		environment[used++] = plan->env[i];
	for (i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++) {
		size_t name = strcspn(defaults[i], "=") + 1;

		for (j = 0; j < plan->envs; j++)
			if (!strncmp(plan->env[j], defaults[i], name))
				break;
		if (j == plan->envs)
			environment[used++] = defaults[i];
	}
	environment[used] = NULL;
}

static void prefer_for_oom(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	/* Failing only makes another program the first victim, never PID 1. */
	if (fd >= 0 && write(fd, "500", 3) != 3)
		close(fd);
}

static void __attribute__((noreturn))
become_program(const struct plan_run *plan, const char *directory, int go_fd,
	       int start_fd, int out_fd, int err_fd)
{
	struct rlimit no_core = { 0, 0 };
	char *environment[PLAN_ENVS_MAX + 4];
	char go;
	int null;

	/*
	 * A group of its own, to be signalled as one, and no session: a session's leader cannot
	 * call setpgid(2), and no shell starts a program as one.
	 */
	if (setpgid(0, 0))
		fail_start(start_fd, STAGE_GROUP);
	if (chdir(directory))
		fail_start(start_fd, STAGE_CHDIR);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0)
		fail_start(start_fd, STAGE_STDIN);
	if (dup2(null, 0) < 0 || dup2(out_fd, 1) < 0 || dup2(err_fd, 2) < 0)
		fail_start(start_fd, STAGE_DUP);
	if (setrlimit(RLIMIT_CORE, &no_core))
		fail_start(start_fd, STAGE_LIMIT);
	prefer_for_oom();
	build_environment(plan, environment);
	reset_signals();
	/* Held back until PID 1 has announced us and, if asked to, seized us. */
	if (read(go_fd, &go, 1) != 1)
		_exit(127);
	execve(plan->arg[0], plan->arg, environment);
	fail_start(start_fd, STAGE_EXEC);
}

/* ---- the loop ---- */

/*
 * Everything that is not a kernel thread (session 0), not us and not what carries our connection
 * is of the program's making. Slow with many processes, hence only asked once.
 */
static unsigned int count_leftovers(void)
{
	unsigned int count = 0;
	struct dirent *entry;
	DIR *dir;

	dir = opendir("/proc");
	if (!dir)
		die("cannot list /proc: %s", strerror(errno));
	while (count < LEAKED_MAX && (entry = readdir(dir))) {
		char path[300], line[512], state, *tail;
		int session;

		if (entry->d_name[0] < '0' || entry->d_name[0] > '9' ||
		    !strcmp(entry->d_name, "1") || ssh_is_part(atoi(entry->d_name)))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
		if (!read_line(path, line, sizeof(line)))
			continue;	/* gone in the meantime */
		tail = strrchr(line, ')');
		if (!tail || sscanf(tail, ") %c %*d %*d %d", &state, &session) != 2)
			continue;
		if (session && state != 'Z' && state != 'X')
			count++;
	}
	closedir(dir);
	return count;
}

/* Kills one after another, as fast as it goes; kernel threads do not mind. */
static void kill_each(void)
{
	struct dirent *entry;
	DIR *dir;

	dir = opendir("/proc");
	if (!dir)
		die("cannot list /proc: %s", strerror(errno));
	while ((entry = readdir(dir))) {
		pid_t pid = atoi(entry->d_name);

		if (pid > 1 && !ssh_is_part(pid))
			kill(pid, SIGKILL);
	}
	closedir(dir);
}

/*
 * kill(-1) is atomic towards fork(2): no bomb outruns it, no new session escapes it. But it would
 * take our connection along, where there is one. A stop is as atomic and can be taken back: who is
 * stopped forks no more, on whatever processor, while we go through them. But when the last one
 * dies who held a group to its session, the kernel lets that group go on, by SIGHUP and SIGCONT;
 * so we go through them twice, and the caller comes again until there is nobody.
 */
static void kill_all(void)
{
	int i;

	if (!ssh_serves()) {
		kill(-1, SIGKILL);
		return;
	}
	for (i = 0; i < 2; i++) {
		kill(-1, SIGSTOP);
		kill_each();
	}
	ssh_go_on();
}

/* What carries our connection is a child that this wait does not see: see ssh.c. */
static bool has_child(void)
{
	siginfo_t info;

	return !waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) || errno != ECHILD;
}

static void read_start_error(struct run *run)
{
	/* Written whole or not at all: it is far below PIPE_BUF. */
	if (run->start_fd < 0 ||
	    (read(run->start_fd, &run->start_error,
		  sizeof(run->start_error)) < 0 && errno == EAGAIN))
		return;
	close(run->start_fd);
	run->start_fd = -1;
}

static void reap(struct run *run)
{
	struct rusage usage;
	int status, i;
	pid_t pid;

	run->more = true;
	for (i = 0; i < REAP_AT_ONCE; i++) {
		/* __WALL: a traced thread is no child that a plain wait would see. */
		pid = wait4(-1, &status, WNOHANG | __WALL, &usage);
		if (pid <= 0) {
			run->more = false;
			run->alone = pid < 0 ? errno == ECHILD : ssh_serves() && !has_child();
			return;
		}
		if (WIFSTOPPED(status)) {
			if (!trace_stopped(&run->trace, run->plan, run->pid, pid,
					   status))
				kill_all();
		} else if (ssh_is_part(pid)) {
			die("connection: sshd ended");
		} else if (pid == run->pid && !run->over) {
			run->over = true;
			run->ended = now_ns();
			run->status = status;
			run->usage = usage;
		}
	}
}

static void forward_output(struct run *run, int stream)
{
	ssize_t got;

	got = link_forward(run->index, (uint8_t)(stream + 1), run->out_fd[stream]);
	if (got > 0) {
		run->out_bytes[stream] += (uint64_t)got;
	} else if (!got || errno != EINTR) {
		close(run->out_fd[stream]);
		run->out_fd[stream] = -1;
	}
}

static void send_beat(struct run *run)
{
	struct text text = { .used = 0 };
	uint64_t now = now_ns();

	if (now < run->next_beat)
		return;
	text_add(&text, "uptime_ms=%llu\n", (unsigned long long)(now / NS_PER_MS));
	text_add(&text, "tainted=%llu\n", (unsigned long long)read_tainted());
	link_send_text(ABX_BEAT, run->index, &text);
	run->next_beat = now_ns() + BEAT_MS * NS_PER_MS;
}

static int ms_until(uint64_t moment)
{
	uint64_t now = now_ns();

	return now >= moment ? 0 : (int)((moment - now + NS_PER_MS - 1) / NS_PER_MS);
}

/*
 * One turn: waits until something happens, at most until @limit, and does a bounded
 * amount of work, so that no flood of output or of children keeps the caller from its clock.
 */
static void turn(struct run *run, uint64_t limit)
{
	struct pollfd fds[] = {
		{ .fd = run->child_fd, .events = POLLIN },
		{ .fd = run->start_fd, .events = POLLIN },
		{ .fd = run->out_fd[0], .events = POLLIN },
		{ .fd = run->out_fd[1], .events = POLLIN },
	};
	struct signalfd_siginfo changed;
	int timeout_ms, i;

	if (run->next_beat < limit)
		limit = run->next_beat;
	timeout_ms = run->more ? 0 : ms_until(limit);
	if (poll(fds, 4, timeout_ms) < 0 && errno != EINTR)
		die("poll: %s", strerror(errno));
	/* Emptied before reaping: what happens from here on makes it readable again. */
	while (fds[0].revents && read(run->child_fd, &changed, sizeof(changed)) > 0)
		;
	reap(run);
	if (fds[1].revents)
		read_start_error(run);
	for (i = 0; i < 2; i++)
		if (fds[2 + i].revents)
			forward_output(run, i);
	send_beat(run);
}

static void wait_over(struct run *run, uint32_t ms)
{
	uint64_t limit = now_ns() + ms * NS_PER_MS;

	while (!run->over && now_ns() < limit)
		turn(run, limit);
}

/* Forces the end of everything, until @done or @ms have passed. */
static void end_all(struct run *run, const bool *done, uint32_t ms)
{
	uint64_t limit = now_ns() + ms * NS_PER_MS;

	while (!*done && now_ns() < limit) {
		uint64_t again = now_ns() + KILL_AGAIN_MS * NS_PER_MS;

		kill_all();
		while (!*done && now_ns() < again)
			turn(run, again);
	}
}

/* The deadline: ask, then force, then give up. */
static void wait_program(struct run *run)
{
	wait_over(run, run->plan->deadline_ms);
	if (run->over)
		return;
	run->timed_out = true;
	if (kill(-run->pid, SIGTERM))
		kill(run->pid, SIGTERM);
	kill(-run->pid, SIGCONT);	/* a stopped program could not react */
	wait_over(run, TERM_GRACE_MS);
	if (run->over)
		return;
	end_all(run, &run->over, KILL_WAIT_MS);
	run->stuck = !run->over;
}

/*
 * Whatever a program leaves behind becomes a child of PID 1 sooner or later, whatever group
 * or session it moved to; so when there is no child left, there is nothing left.
 */
static void wait_alone(struct run *run, uint32_t ms)
{
	uint64_t limit = now_ns() + ms * NS_PER_MS;

	while (!run->alone && now_ns() < limit)
		turn(run, limit);
}

/*
 * What dead programs wrote is still in the pipes, and takes as long as the host needs to
 * read it. Once there is nothing but waiting, or somebody left who can write, time runs out.
 */
static void drain(struct run *run)
{
	uint64_t limit = now_ns() + DRAIN_MS * NS_PER_MS;

	while ((run->out_fd[0] >= 0 || run->out_fd[1] >= 0) && now_ns() < limit) {
		uint64_t before = run->out_bytes[0] + run->out_bytes[1];

		turn(run, limit);
		if (run->alone && run->out_bytes[0] + run->out_bytes[1] != before)
			limit = now_ns() + DRAIN_MS * NS_PER_MS;
	}
}

static void clear_away(struct run *run)
{
	wait_alone(run, LEAK_GRACE_MS);
	if (!run->alone && !run->stuck) {
		run->leaked = count_leftovers();
		end_all(run, &run->alone, KILL_WAIT_MS);
		run->stuck = !run->alone;
	}
	drain(run);
	read_start_error(run);
}

/* ---- starting and reporting ---- */

static void make_pipe(int ends[2])
{
	if (pipe2(ends, O_CLOEXEC))
		die("pipe: %s", strerror(errno));
}

static int watch_children(void)
{
	sigset_t child;
	int fd;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		die("signalfd: %s", strerror(errno));
	return fd;
}

static void send_start(const struct run *run)
{
	struct text text = { .used = 0 };

	text_add(&text, "what=%s\n", run->plan->traced ? "traced" : "plain");
	text_add(&text, "pid=%d\n", (int)run->pid);
	text_add(&text, "tainted=%llu\n", (unsigned long long)run->tainted);
	link_send_text(ABX_START, run->index, &text);
	tell("abimatrix start %u %s %s\n", run->index,
	      run->plan->traced ? "traced" : "plain", run->plan->arg[0]);
}

static void start(struct run *run)
{
	const char *plan_dir = run->plan->dir;
	char directory[] = "/tmp/run-XXXXXX";
	int go[2], error[2], out[2], err[2];

	if (!plan_dir && !mkdtemp(directory))
		die("cannot make a directory in /tmp: %s", strerror(errno));
	make_pipe(go);
	make_pipe(error);
	make_pipe(out);
	make_pipe(err);
	run->pid = fork();
	if (run->pid < 0)
		die("fork: %s", strerror(errno));
	if (!run->pid)
		become_program(run->plan, plan_dir ? plan_dir : directory, go[0], error[1], out[1], err[1]);
	close(go[0]);
	close(error[1]);
	close(out[1]);
	close(err[1]);
	run->start_fd = error[0];
	run->out_fd[0] = out[0];
	run->out_fd[1] = err[0];
	if (fcntl(run->start_fd, F_SETFL, O_NONBLOCK))
		die("fcntl: %s", strerror(errno));

	send_start(run);
	if (run->plan->traced && !trace_attach(&run->trace, run->pid))
		kill(run->pid, SIGKILL);
	run->started = now_ns();
	run->next_beat = run->started + BEAT_MS * NS_PER_MS;
	/* Blocked SIGPIPE: if the child died already, this only fails. */
	if (write(go[1], "", 1) != 1 && errno != EPIPE)
		die("cannot start the program: %s", strerror(errno));
	close(go[1]);
}

/* In words of PROTOCOL.md; the first that applies, from the least to the most ordinary. */
static const char *outcome_of(const struct run *run, int *code)
{
	*code = 0;
	if (run->stuck)
		return "stuck";
	if (run->start_error.error) {
		*code = run->start_error.error;
		return "noexec";
	}
	if (run->trace.error) {
		*code = run->trace.error;
		return "untraced";
	}
	if (WIFSIGNALED(run->status))
		*code = WTERMSIG(run->status);
	if (run->timed_out)
		return "timeout";
	if (*code)
		return "signal";
	*code = WEXITSTATUS(run->status);
	return "exit";
}

static unsigned long long microseconds(struct timeval time)
{
	return (unsigned long long)time.tv_sec * 1000000u +
	       (unsigned long long)time.tv_usec;
}

static void send_end(const struct run *run)
{
	const char *outcome;
	struct text text = { .used = 0 };
	unsigned long long tainted = read_tainted();
	unsigned int i;
	int code;

	outcome = outcome_of(run, &code);
	text_add(&text, "outcome=%s\n", outcome);
	text_add(&text, "code=%d\n", code);
	text_add(&text, "tainted_before=%llu\n", (unsigned long long)run->tainted);
	text_add(&text, "tainted_after=%llu\n", tainted);
	text_add(&text, "wall_us=%llu\n",
		 (unsigned long long)(run->ended - run->started) / 1000);
	text_add(&text, "user_us=%llu\n", microseconds(run->usage.ru_utime));
	text_add(&text, "sys_us=%llu\n", microseconds(run->usage.ru_stime));
	text_add(&text, "maxrss_kb=%ld\n", run->usage.ru_maxrss);
	text_add(&text, "stdout_bytes=%llu\n", (unsigned long long)run->out_bytes[0]);
	text_add(&text, "stderr_bytes=%llu\n", (unsigned long long)run->out_bytes[1]);
	text_add(&text, "leaked=%u\n", run->leaked);
	if (run->plan->traced)
		text_add(&text, "traced_syscalls=%llu\n",
			 (unsigned long long)run->trace.syscalls);
	for (i = 0; i < run->plan->doors; i++)
		text_add(&text, "entry=%08x:%u:%llu\n",
			 (unsigned int)run->plan->door[i].arch,
			 (unsigned int)run->plan->door[i].nr,
			 (unsigned long long)run->trace.entries[i]);
	for (i = 0; i < run->plan->doors; i++)
		tell("abimatrix entry %u %08x:%u %s\n", run->index,
		      (unsigned int)run->plan->door[i].arch,
		      (unsigned int)run->plan->door[i].nr,
		      run->trace.entries[i] ? "entered" : "not entered");
	tell("abimatrix end %u %s %d tainted %llu\n", run->index, outcome, code,
	      tainted);
	link_send_text(ABX_END, run->index, &text);
}

bool run_program(uint16_t index, const struct plan_run *plan)
{
	struct run run = {
		.plan = plan,
		.index = index,
		.child_fd = watch_children(),
		.start_fd = -1,
		.out_fd = { -1, -1 },
		.tainted = read_tainted(),
	};
	int i;

	start(&run);
	wait_program(&run);
	if (!run.over)
		run.ended = now_ns();
	clear_away(&run);
	if (run.start_error.error && run.start_error.stage != STAGE_EXEC)
		die("cannot prepare run %u: %s: %s", index,
		    start_stages[run.start_error.stage],
		    strerror(run.start_error.error));
	send_end(&run);
	for (i = 0; i < 2; i++)
		if (run.out_fd[i] >= 0)
			close(run.out_fd[i]);
	if (run.start_fd >= 0)
		close(run.start_fd);
	close(run.child_fd);
	return !run.stuck;
}
