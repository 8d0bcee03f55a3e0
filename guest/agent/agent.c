// SPDX-License-Identifier: GPL-2.0-only
/*
 * PID 1 of a test guest: says hello on its port, waits for a plan, runs the programs of
 * the plan one after another, reports, and powers the machine off.
 *
 * There is no shell, no configuration and no other way in. The agent judges nothing:
 * it reports what it saw and lets the host decide. An error of its own ends it without
 * a BYE, which the host never takes for a result.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <time.h>
#include <unistd.h>

static struct plan plan;

static void __attribute__((noreturn)) power_off(int status)
{
#ifdef ABX_HOST_TEST
	_exit(status);
#else
	(void)status;
	/*
	 * No sync: everything lives in memory, and a file system that hangs because of
	 * the call under test must not keep the machine from going off.
	 */
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
#endif
}

/*
 * Messages go through printk: a line from /dev/kmsg is never torn by another one, is on
 * the console before write() returns, and needs no working interrupt of the UART. The
 * digit is the log level.
 */
static void say(const char *prefix, const char *format, va_list args)
{
	char line[512];
	size_t used = strlen(prefix);
	int fd;

	memcpy(line, prefix, used);
	vsnprintf(line + used, sizeof(line) - used, format, args);
#ifdef ABX_HOST_TEST
	fd = -1;
#else
	fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
#endif
	if (fd < 0) {
		dprintf(STDERR_FILENO, "%s\n", line + 3);
		return;
	}
	if (write(fd, line, strlen(line)) < 0)
		dprintf(STDERR_FILENO, "%s\n", line + 3);
	close(fd);
}

void note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("<6>abimatrix-agent note: ", format, args);
	va_end(args);
}

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("<2>abimatrix-agent: ", format, args);
	va_end(args);
	power_off(EXIT_FAILURE);
}

uint64_t now_ns(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_MONOTONIC, &now))
		die("no monotonic clock: %s", strerror(errno));
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t read_tainted(void)
{
	char line[32], *end;
	unsigned long long tainted;

	if (!read_line("/proc/sys/kernel/tainted", line, sizeof(line)))
		die("cannot read /proc/sys/kernel/tainted: %s", strerror(errno));
	errno = 0;
	tainted = strtoull(line, &end, 10);
	if (errno || end == line || *end)
		die("/proc/sys/kernel/tainted is not a number: %s", line);
	return tainted;
}

/*
 * A fork bomb must starve neither the deadline nor the protocol: a real-time policy puts
 * PID 1 before everything it runs, and RESET_ON_FORK keeps that from being inherited.
 */
static void rise_above_programs(void)
{
	struct sched_param first = { .sched_priority = 1 };
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first))
		note("no real-time priority: %s", strerror(errno));
}

static void receive_plan(void)
{
	const char *problem;
	size_t bytes;
	char *text;

	text = link_receive_plan(&bytes);
	problem = plan_parse(&plan, text, bytes);
	if (problem) {
		link_refuse(problem, plan.line);
		die("plan refused: %s in line %u", problem, plan.line);
	}
}

int main(void)
{
	unsigned int i;

	/* Anywhere else the kill(-1, SIGKILL) between two runs would be a disaster. */
	if (getpid() != 1) {
		fputs("abimatrix-agent: this is an init, it runs as PID 1 only\n", stderr);
		return EXIT_FAILURE;
	}
	rise_above_programs();
	setup_world();
	/* Kernel threads have session 0: by that count_leftovers() tells them from programs. */
	if (setsid() < 0)
		die("setsid: %s", strerror(errno));
	link_open();
	link_hello();
	receive_plan();
	for (i = 0; i < plan.runs; i++) {
		if (!run_program((uint16_t)i, &plan.run[i])) {
			i++;
			break;
		}
	}
	look_for_leaks();
	link_bye(i);
	link_wait_close();
	link_shut();
	power_off(EXIT_SUCCESS);
}
