// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gives the agent's PLAN parser plans that are wrong in all ways: a sound one with bytes changed,
 * lines lost, doubled and swapped, and pieces of lines in any order. Meant for a build with
 * -fsanitize=address,undefined: each text lies in memory of exactly its size.
 *
 *	./plan_mutations ROUNDS SEED
 *
 * What is taken must keep to the bounds, and point into the text that was given.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"

static const char *const pieces[] = {
	"run=plain\n", "run=traced\n", "deadline_ms=1000\n", "deadline_ms=0\n",
	"deadline_ms=86400001\n", "deadline_ms=18446744073709551617\n",
	"dir=/d\n", "dir=d\n", "dir=\n", "arg=/t\n", "arg=\n", "arg=--flag\n", "env=A=1\n", "env=AB=\n", "env==x\n",
	"env=A\n", "door=c000003e:463\n", "door=40000003:463\n", "door=c000003e:\n",
	"door=c000003e:4294967296\n", "door=\n", "end\n", "end", "\n", "=", "arg",
	"run=plain\ndeadline_ms=5\ndir=/d\narg=/t\nend\n",
	"run=traced\ndeadline_ms=5\narg=/t\nenv=A=1\ndoor=c000003e:463\nend\n",
};

#define PIECES	(sizeof(pieces) / sizeof(pieces[0]))
#define TEXT_MAX	20000

static struct plan plan;
static unsigned long long state;
static unsigned long round_number, taken;

static size_t below(size_t end)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return end ? (size_t)(state >> 33) % end : 0;
}

static void __attribute__((noreturn)) fail(const char *what)
{
	fprintf(stderr, "plan_mutations: round %lu: %s\n", round_number, what);
	exit(EXIT_FAILURE);
}

/* A string of the plan: inside of the text, and ended there. */
static void check_string(const char *string, const char *text, size_t bytes)
{
	if (string < text || string >= text + bytes ||
	    !memchr(string, '\0', (size_t)(text + bytes - string)))
		fail("a string outside of the text");
	if (strlen(string) > PLAN_VALUE_MAX)
		fail("a string that is too long");
}

static void check(const char *text, size_t bytes)
{
	unsigned int i, j;

	if (!plan.runs || plan.runs > PLAN_RUNS_MAX)
		fail("no runs, or too many");
	for (i = 0; i < plan.runs; i++) {
		const struct plan_run *run = &plan.run[i];

		if (!run->args || run->args > PLAN_ARGS_MAX ||
		    run->envs > PLAN_ENVS_MAX || run->doors > PLAN_DOORS_MAX ||
		    run->traced != (run->doors > 0) || run->arg[run->args])
			fail("counts beyond their bounds");
		if (!run->deadline_ms || run->deadline_ms > PLAN_DEADLINE_MS_MAX)
			fail("a deadline beyond its bounds");
		if (run->arg[0][0] != '/')
			fail("a program that is searched for");
		if (run->dir) {
			check_string(run->dir, text, bytes);
			if (run->dir[0] != '/')
				fail("a directory that is searched for");
		}
		for (j = 0; j < run->args; j++)
			check_string(run->arg[j], text, bytes);
		for (j = 0; j < run->envs; j++)
			check_string(run->env[j], text, bytes);
	}
}

static size_t make(char *text)
{
	size_t bytes = 0, wanted = 1 + below(below(8) ? 12 : 600), i;

	for (i = 0; i < wanted; i++) {
		/* Half of them sound, so that there is something to damage. */
		size_t piece = below(2) ? PIECES - 1 - below(2) : below(PIECES);
		size_t length = strlen(pieces[piece]);

		if (bytes + length > TEXT_MAX)
			break;
		memcpy(text + bytes, pieces[piece], length);
		bytes += length;
	}
	for (i = below(4); i && bytes; i--)
		text[below(bytes)] = (char)(below(3) ? 0x20 + below(0x60) : below(256));
	return below(4) ? bytes : below(bytes + 1);
}

int main(int argc, char **argv)
{
	static char made[TEXT_MAX];
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;

	state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	for (round_number = 0; round_number < rounds; round_number++) {
		size_t bytes = make(made);
		char *text = malloc(bytes + !bytes);

		if (!text)
			fail("no memory");
		memcpy(text, made, bytes);
		if (!plan_parse(&plan, text, bytes)) {
			check(text, bytes);
			taken++;
		}
		free(text);
	}
	printf("%lu plans, %lu taken\n", rounds, taken);
	return taken ? EXIT_SUCCESS : EXIT_FAILURE;
}
