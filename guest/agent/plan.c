// SPDX-License-Identifier: GPL-2.0-only
/* The PLAN parser: strict, bounded, free of system calls, so that it runs on the host too. */
#include "plan.h"

#include <string.h>

static bool parse_decimal(const char *text, uint32_t max, uint32_t *value)
{
	uint64_t v = 0;

	if (!*text || (text[0] == '0' && text[1]))
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		v = v * 10 + (uint64_t)(*text - '0');
		if (v > max)
			return false;
	}
	*value = (uint32_t)v;
	return true;
}

static bool parse_door(const char *text, struct door *door)
{
	uint32_t arch = 0;
	int i;

	for (i = 0; i < 8; i++) {
		char c = text[i];

		if (c >= '0' && c <= '9')
			arch = arch << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			arch = arch << 4 | (uint32_t)(c - 'a' + 10);
		else
			return false;
	}
	door->arch = arch;
	return text[8] == ':' && parse_decimal(text + 9, UINT32_MAX, &door->nr);
}

static const char *set_dir(struct plan_run *run, char *value)
{
	if (run->dir || run->args || value[0] != '/')
		return "plan-dir";
	run->dir = value;
	return NULL;
}

static const char *add_arg(struct plan_run *run, char *value)
{
	if (run->args == PLAN_ARGS_MAX)
		return "plan-too-many-args";
	if (!run->args && value[0] != '/')
		return "plan-program";
	run->arg[run->args++] = value;
	return NULL;
}

static const char *add_env(struct plan_run *run, char *value)
{
	size_t name = strcspn(value, "=");
	unsigned int i;

	if (run->envs == PLAN_ENVS_MAX)
		return "plan-too-many-envs";
	if (!name || value[name] != '=')
		return "plan-env";
	for (i = 0; i < run->envs; i++)
		if (!strncmp(run->env[i], value, name + 1))
			return "plan-env";
	run->env[run->envs++] = value;
	return NULL;
}

static const char *add_door(struct plan_run *run, const char *value)
{
	struct door door;
	unsigned int i;

	if (run->doors == PLAN_DOORS_MAX)
		return "plan-too-many-doors";
	if (!run->traced || !parse_door(value, &door))
		return "plan-door";
	for (i = 0; i < run->doors; i++)
		if (run->door[i].arch == door.arch && run->door[i].nr == door.nr)
			return "plan-door";
	run->door[run->doors++] = door;
	return NULL;
}

/* The keys come in this order; each may be preceded only by those above it. */
enum place { WANT_RUN, WANT_DEADLINE, IN_ARGS, IN_ENVS, IN_DOORS };

static char *value_of(char *line, const char *key)
{
	size_t bytes = strlen(key);

	return strncmp(line, key, bytes) ? NULL : line + bytes;
}

static const char *parse_line(struct plan *plan, enum place *place, char *line)
{
	struct plan_run *run = &plan->run[plan->runs];
	char *value;

	if (*place == WANT_RUN) {
		if (plan->runs == PLAN_RUNS_MAX)
			return "plan-too-many-runs";
		memset(run, 0, sizeof(*run));
		run->traced = !strcmp(line, "run=traced");
		if (!run->traced && strcmp(line, "run=plain"))
			return "plan-key";
		*place = WANT_DEADLINE;
		return NULL;
	}
	if (*place == WANT_DEADLINE) {
		value = value_of(line, "deadline_ms=");
		if (!value)
			return "plan-key";
		*place = IN_ARGS;
		if (!parse_decimal(value, PLAN_DEADLINE_MS_MAX,
				   &run->deadline_ms) || !run->deadline_ms)
			return "plan-deadline";
		return NULL;
	}
	value = value_of(line, "dir=");
	if (value && *place == IN_ARGS)
		return set_dir(run, value);
	value = value_of(line, "arg=");
	if (value && *place == IN_ARGS)
		return add_arg(run, value);
	if (!run->args)
		return "plan-program";
	value = value_of(line, "env=");
	if (value && *place <= IN_ENVS) {
		*place = IN_ENVS;
		return add_env(run, value);
	}
	value = value_of(line, "door=");
	if (value) {
		*place = IN_DOORS;
		return add_door(run, value);
	}
	if (strcmp(line, "end"))
		return "plan-key";
	if (run->traced && !run->doors)
		return "plan-door";
	plan->runs++;
	*place = WANT_RUN;
	return NULL;
}

const char *plan_parse(struct plan *plan, char *text, size_t bytes)
{
	enum place place = WANT_RUN;
	const char *problem;
	size_t i, start = 0;

	plan->runs = 0;
	plan->line = 1;
	for (i = 0; i < bytes; i++) {
		if (text[i] != '\n') {
			if (text[i] < 0x20 || text[i] > 0x7e)
				return "plan-byte";
			continue;
		}
		text[i] = '\0';
		if (i - start > PLAN_VALUE_MAX)
			return "plan-long-line";
		problem = parse_line(plan, &place, text + start);
		if (problem)
			return problem;
		start = i + 1;
		plan->line++;
	}
	if (start != bytes || place != WANT_RUN || !plan->runs)
		return "plan-unfinished";
	return NULL;
}
