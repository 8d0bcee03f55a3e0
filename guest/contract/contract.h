/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parts of the prober share. The words are those of FORMAT.md. */
#ifndef ABX_CONTRACT_H
#define ABX_CONTRACT_H

/* Every file has this header first. */
#define _GNU_SOURCE

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The bounds of FORMAT.md. */
#define OBJECTS_MAX	32
#define OBJECT_BYTES_MAX	65536
#define FILLS_MAX	1024
#define HEX_BYTES_MAX	2048
#define AFTERS_MAX	64
#define TERMS_MAX	8
#define RESULTS_MAX	32
#define NAME_BYTES_MAX	240
#define THREADS_MAX	64
#define DEADLINE_MS_MAX	600000
#define ARGS		6

/* A case has no more descriptors than this, so that all of them can be looked at. */
#define DESCRIPTORS_MAX	1024

/* ---- a case as it stands in the file: read.c, which makes no system call ---- */

enum thing {
	THING_FILE, THING_FILE_RO, THING_FILE_WO, THING_DIR, THING_CWD, THING_PATH, THING_NULL,
	THING_PIPE_R, THING_PIPE_W, THING_EVENTFD, THING_EPOLL, THING_MEMFD, THING_TIMERFD,
	THING_SOCKET, THING_CLOSED,
	/* From here on they are processes. */
	THING_SELF, THING_OTHER,
	/* And these are made with the credentials of the case. */
	THING_CHILD, THING_DEAD, THING_UNDUMPABLE
};

#define THINGS	(THING_UNDUMPABLE + 1)

enum term_kind { TERM_NUMBER, TERM_OBJECT, TERM_UNMAPPED, TERM_FD, TERM_PID };

struct term {
	enum term_kind kind;
	uint64_t number;	/* or the object's, or an enum thing */
};

struct value {
	unsigned int line;
	unsigned int terms;
	struct term term[TERMS_MAX];
};

enum place {
	PLACE_PLAIN, PLACE_ODD, PLACE_END, PLACE_CROSS, PLACE_RO, PLACE_WO, PLACE_NONE, PLACE_HIGH,
	PLACE_AT
};

struct object {
	enum place place;
	uint32_t bytes;
	uint64_t where;		/* the N of cross:N, the ADDR of at:ADDR */
};

struct fill {
	unsigned int object;
	uint32_t offset;
	unsigned int width;	/* 0: digits instead of a value */
	struct value value;
	const char *digits;	/* in the file's text */
	uint32_t bytes;
};

struct after {
	unsigned int object;
	uint32_t offset;
	const char *digits;
	uint32_t bytes;
};

enum door { DOOR_OWN, DOOR_I386, DOOR_X32, DOOR_X64 };

enum run_kind {
	RUN_CALL, RUN_CLOEXEC, RUN_LOWEST, RUN_NOFILE, RUN_GETFL, RUN_POLL, RUN_NOPOLL, RUN_REPEAT,
	RUN_CREDS, RUN_INTERRUPT, RUN_THREADS, RUN_FAILNTH, RUN_SECCOMP, RUN_SECCOMP_OTHER
};

enum creds { CREDS_ROOT, CREDS_CAP, CREDS_NOCAP, CREDS_NONE, CREDS_USERNS };

struct run {
	enum run_kind kind;
	enum creds creds;
	bool yes;		/* cloexec set, interrupt restart */
	bool always;		/* interrupt always */
	uint32_t number[2];	/* the words behind, capability included */
};

enum expect_kind {
	EXPECT_RESULTS, EXPECT_NOT, EXPECT_FD, EXPECT_PID, EXPECT_POSITIVE, EXPECT_ANY
};

struct expectation {
	enum expect_kind kind;
	unsigned int results;
	int64_t result[RESULTS_MAX];
};

struct test_case {
	char name[NAME_BYTES_MAX + 1];
	unsigned int objects, fills, afters;
	struct object object[OBJECTS_MAX];
	struct fill fill[FILLS_MAX];
	struct after after[AFTERS_MAX];
	uint32_t number;
	enum door door;
	struct value arg[ARGS];
	struct run run;
	uint32_t deadline_ms;
	struct expectation expect;
	bool absent;		/* this kernel is not to have the call */
};

/* Where in the text we are. */
struct reader {
	const char *text;
	size_t bytes;
	size_t at;
	unsigned int line;
	const char *problem;	/* on that line */
};

/* Takes the first line. False: see @problem. */
bool read_start(struct reader *reader, const char *text, size_t bytes);
/* Takes a case. False: the end, or a @problem. */
bool read_case(struct reader *reader, struct test_case *test);
uint8_t hex_byte(const char *digits);

/* names.c: NULL or 0 if there is none. */
const char *errno_name(int64_t number);
int64_t errno_number(const char *name);

/* ---- what a case's child finds, in memory shared with its parent: report.c ---- */

enum verdict { VERDICT_NONE, VERDICT_OK, VERDICT_NOT_OK, VERDICT_SKIP, VERDICT_ERROR };
enum phase { PHASE_SETUP, PHASE_CALL };

#define REASON_BYTES	200
#define SAID_BYTES	8000

struct report {
	volatile enum verdict verdict;
	volatile enum phase phase;
	bool failed;
	size_t used;
	char reason[REASON_BYTES];
	char said[SAID_BYTES];
};

extern struct report *report;

bool report_make(void);
void report_clear(void);
/* A diagnostic line. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, and the case is not ok. */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The end of the child: what it was asked for could not be prepared, or is not here. */
void trouble(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void skip(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* The end of the child: all is looked at. */
void finish(void) __attribute__((noreturn));

/* ---- doors: door.c ---- */

int64_t enter(enum door door, uint32_t number, const uint64_t args[ARGS]);
/* Does a thread that stands at this instruction wait in a door, or has it just left it? */
bool at_door(uint64_t instruction);

/* ---- a case's memory and things ---- */

void memory_map(const struct test_case *test);
/* For a thread of its own. */
void memory_map_again(const struct test_case *test);
/* As the file says, again if need be. */
void memory_fill(const struct test_case *test);
void memory_protect(const struct test_case *test);
void memory_check(const struct test_case *test);
uint64_t value_of(const struct value *value);

/* Where the child of a case finds itself. */
void folder_fill(void);
/* Of the things from @first to @last those that the case names. */
void things_make(const struct test_case *test, enum thing first, enum thing last);
int thing_fd(enum thing thing);
pid_t thing_pid(enum thing thing);
bool is_thing(pid_t pid);
void creds_become(const struct run *run);
void dumpable(bool yes);

/* ---- the call and what is looked at afterwards ---- */

/* The case of this child. */
struct call {
	const struct test_case *test;
	pid_t self;
};

extern struct call call;
/* Of the thread's own memory. */
extern __thread uint64_t call_args[ARGS];

/* From values, which must stand in memory by now. */
void call_prepare(void);
int64_t call_make(void);
/* Again: from the same memory. */
int64_t call_again(void);
bool met(int64_t result);
/* Says what came back, what had been expected, and what memory has. */
void judge(int64_t result);
void judge_result(int64_t result);
void say_returned(int64_t result);
/* Descriptors are closed, children waited for. */
void release(int64_t result);
unsigned int count_descriptors(void);
int lowest_free(int from);
void check_descriptors(unsigned int before);

void run_cloexec(void);
int is_open(const char *number);
void run_lowest(void);
void run_nofile(void);
void run_getfl(const struct run *run);
void run_poll(const struct run *run);
void run_nopoll(void);
void run_repeat(const struct run *run);
void run_interrupt(const struct run *run);
void run_threads(const struct run *run);
void run_failnth(const struct run *run);
void run_seccomp(const struct run *run);

enum mode { MODE_ALL, MODE_ENOSYS, MODE_GOOD };

/* In a child with a deadline. */
enum verdict case_run(struct test_case *test, enum mode mode);

#endif
