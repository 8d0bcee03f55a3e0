/* SPDX-License-Identifier: GPL-2.0-only */
/* What the host asks for: the text of a PLAN frame, checked and cut up in place. */
#ifndef ABX_PLAN_H
#define ABX_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The bounds of PROTOCOL.md; the harness has the same and never sends more. */
#define PLAN_RUNS_MAX		64
#define PLAN_ARGS_MAX		32
#define PLAN_ENVS_MAX		32
#define PLAN_DOORS_MAX		16
#define PLAN_VALUE_MAX		4096
#define PLAN_DEADLINE_MS_MAX	86400000	/* a day */

struct door {
	uint32_t arch;
	uint32_t nr;
};

struct plan_run {
	bool traced;
	uint32_t deadline_ms;
	unsigned int args;
	unsigned int envs;
	unsigned int doors;
	char *dir;		/* NULL: an empty directory of its own */
	char *arg[PLAN_ARGS_MAX + 1];
	char *env[PLAN_ENVS_MAX];
	struct door door[PLAN_DOORS_MAX];
};

struct plan {
	unsigned int runs;
	unsigned int line;	/* of the problem, if there was one */
	struct plan_run run[PLAN_RUNS_MAX];
};

/*
 * Cuts the @bytes of @text into lines and reads them into @plan, whose strings then
 * point into @text. Returns NULL or the name of the problem.
 */
const char *plan_parse(struct plan *plan, char *text, size_t bytes);

#endif
