/* SPDX-License-Identifier: GPL-2.0-only */
/* What the agent's files tell each other. See PROTOCOL.md for what it does. */
#ifndef ABX_AGENT_H
#define ABX_AGENT_H

/* pipe2(), SCHED_RESET_ON_FORK; this header comes first everywhere. */
#define _GNU_SOURCE

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "frame.h"
#include "plan.h"

#define PORT_NAME		"abimatrix.results"
#define WORDS_NAME		"abimatrix.words"
#define PORT_WAIT_MS		10000	/* probing the device happens long before this */
#define CARD_WAIT_MS		1000	/* the same */
#define SSH_WAIT_MS		30000	/* for a session, and then */
#define PLAN_WAIT_MS		10000	/* for the plan: before the host, which has our hello or has
					 * not, takes us for hung */
#define UNHEARD_TRIES		5	/* TCP's own, each twice as long as the last: 6 to 10 s, before
					 * the host takes our silence for a guest that hangs */
#define CLOSE_WAIT_MS		60000	/* for the host to read up to 4 MiB that are queued */
#define BEAT_MS			2000
#define TERM_GRACE_MS		2000	/* from SIGTERM to SIGKILL */
#define KILL_WAIT_MS		5000	/* from SIGKILL to `stuck` */
#define KILL_AGAIN_MS		100	/* where one pass over all processes may miss some */
#define LEAK_GRACE_MS		200	/* for children that are just ending */
#define DRAIN_MS		1000	/* for pipes that somebody keeps open */
#define LEAKED_MAX		4096	/* counting stops here: a fork bomb is one leak too many */

/* One frame of output fills one buffer of the kernel's virtio console (32 KiB). */
#define OUT_BYTES_MAX		(32768 - ABX_HEADER_BYTES - 1)

#define NS_PER_MS		1000000ull

/* agent.c */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
uint64_t now_ns(void);
uint64_t read_tainted(void);

/* A payload of `key=value` lines in the making. */
struct text {
	size_t used;
	char bytes[8192];	/* the longest END is below 2 KiB */
};

/* setup.c: the world a program expects to find, and what it looks like. */
void setup_world(void);
void describe_machine(struct text *text);
bool read_line(const char *path, char *line, size_t size);
bool has_word(const char *line, const char *word);

/* leaks.c: what the kernel finds goes to the console. */
void open_leaks(void);
void look_for_leaks(void);

/* link.c: the port. A failing port ends the agent, so that nothing here returns an error. */
void text_add(struct text *text, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void text_string(struct text *text, const char *key, const char *value);

void nap(uint32_t ms);
void link_open(void);
void link_hello(void);
char *link_receive_plan(size_t *bytes);
void link_send_text(enum abx_type type, uint16_t run, const struct text *text);
/* One read of @fd, passed on as one OUT frame; returns what read(2) did. */
ssize_t link_forward(uint16_t run, uint8_t stream, int fd);
void link_refuse(const char *reason, unsigned int line);
void link_bye(unsigned int runs);
void link_wait_close(void);
void link_shut(void);
/* A line for people, on the port for words if there is one. */
void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ssh.c: the way in where there is no port. */
bool ssh_wanted(void);
int ssh_open(void);
/* Whether results go that way, and whether a process carries them. */
bool ssh_serves(void);
bool ssh_is_part(pid_t pid);
/* Before each frame, and while one is on its way: lets what carries it go on, whoever has stopped it. */
void ssh_tend(void);
/* Lets what carries our connection go on, after a stop of everybody. */
void ssh_go_on(void);

/* run.c */
struct trace {
	bool counting;		/* the program itself runs, not our fork of PID 1 */
	int error;		/* why the run could not be traced, as errno */
	uint64_t syscalls;
	uint64_t entries[PLAN_DOORS_MAX];
};

void reset_signals(void);
/* Runs one program to its END frame; false if something survived SIGKILL. */
bool run_program(uint16_t index, const struct plan_run *plan);

/* trace.c */
bool trace_attach(struct trace *trace, pid_t pid);
/* Counts and resumes; false if the run cannot be traced, with the reason in @trace. */
bool trace_stopped(struct trace *trace, const struct plan_run *plan,
		   pid_t main_pid, pid_t pid, int status);

#endif
