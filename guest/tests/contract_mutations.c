// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gives the prober's reader files that are wrong in all ways: sound ones with bytes changed, words
 * and lines of others in the place of theirs, lines lost, doubled and cut. Meant for a build with
 * -fsanitize=address,undefined: each text lies in memory of exactly its size.
 *
 *	./contract_mutations ROUNDS SEED FILE...
 *
 * What is taken must keep to the bounds, and point into the text that was given.
 */
#include "contract.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX	200000
#define LINES_MAX	8000

static char source[TEXT_MAX];
static char *line[LINES_MAX];
static unsigned int lines;
static struct test_case test;
static unsigned long long state;
static unsigned long round_number, taken;

static size_t below(size_t end)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return end ? (size_t)(state >> 33) % end : 0;
}

static void __attribute__((noreturn)) stop(const char *what)
{
	fprintf(stderr, "contract_mutations: round %lu: %s\n", round_number, what);
	exit(EXIT_FAILURE);
}

static void check_value(const struct value *value)
{
	unsigned int i;

	if (value->terms > TERMS_MAX)
		stop("too many words in a value");
	for (i = 0; i < value->terms; i++) {
		const struct term *term = &value->term[i];

		if ((term->kind == TERM_OBJECT && term->number >= test.objects) ||
		    (term->kind == TERM_FD && term->number >= THINGS) ||
		    (term->kind == TERM_PID &&
		     (term->number >= THINGS || term->number < THING_SELF)))
			stop("a value of what is not there");
	}
}

static void check_digits(const char *digits, uint32_t bytes, const struct reader *reader)
{
	uint32_t i;

	if (digits < reader->text || digits + 2 * bytes > reader->text + reader->bytes)
		stop("digits outside of the text");
	for (i = 0; i < 2 * bytes; i++)
		if (!strchr("0123456789abcdef", digits[i]))
			stop("digits that are none");
}

static void check(const struct reader *reader)
{
	unsigned int i;

	if (test.objects > OBJECTS_MAX || test.fills > FILLS_MAX || test.afters > AFTERS_MAX ||
	    test.expect.results > RESULTS_MAX || strlen(test.name) > NAME_BYTES_MAX)
		stop("counts beyond their bounds");
	if (!test.deadline_ms || test.deadline_ms > DEADLINE_MS_MAX)
		stop("a deadline beyond its bounds");
	if (test.run.kind == RUN_THREADS &&
	    (!test.run.number[0] || test.run.number[0] > THREADS_MAX))
		stop("threads beyond their bounds");
	if (test.run.kind == RUN_CREDS && test.run.number[0] > 63)
		stop("a capability beyond its bounds");
	for (i = 0; i < test.objects; i++)
		if (test.object[i].bytes > OBJECT_BYTES_MAX ||
		    (test.object[i].place == PLACE_CROSS &&
		     test.object[i].where > test.object[i].bytes))
			stop("an object beyond its bounds");
	for (i = 0; i < ARGS; i++)
		check_value(&test.arg[i]);
	for (i = 0; i < test.fills; i++) {
		const struct fill *fill = &test.fill[i];

		if (fill->object >= test.objects ||
		    fill->offset + fill->bytes > test.object[fill->object].bytes)
			stop("a fill outside of its object");
		if (fill->width)
			check_value(&fill->value);
		else
			check_digits(fill->digits, fill->bytes, reader);
	}
	for (i = 0; i < test.afters; i++) {
		const struct after *after = &test.after[i];

		if (after->object >= test.objects ||
		    after->offset + after->bytes > test.object[after->object].bytes)
			stop("bytes outside of their object");
		check_digits(after->digits, after->bytes, reader);
	}
}

/* A run of lines of the sources as they are, or with one of any other place. */
static size_t make(char *text)
{
	size_t bytes = (size_t)sprintf(text, "contract 1\n"), i;
	unsigned int at = (unsigned int)below(lines), wanted = 1 + (unsigned int)below(40);

	/* Half of them begin where a case does. */
	while (below(2) && at && strncmp(line[at], "case ", 5))
		at--;
	for (i = 0; i < wanted; i++) {
		const char *next = line[below(20) ? (at + i) % lines : below(lines)];

		if (below(40))
			bytes += (size_t)sprintf(text + bytes, "%s\n", next);
		if (!below(40))
			bytes += (size_t)sprintf(text + bytes, "%s\n", next);
	}
	if (below(4))
		bytes += (size_t)sprintf(text + bytes, "end\n");
	for (i = below(4); i; i--)
		text[below(bytes)] = (char)(below(3) ? 0x20 + below(0x60) : below(256));
	return below(4) ? bytes : below(bytes + 1);
}

static void read_source(const char *path)
{
	static size_t used;
	FILE *file = fopen(path, "r");

	if (!file)
		stop(path);
	while (lines < LINES_MAX && fgets(source + used, (int)(sizeof(source) - used), file)) {
		size_t length = strcspn(source + used, "\n");

		source[used + length] = '\0';
		line[lines++] = source + used;
		used += length + 1;
	}
	fclose(file);
}

int main(int argc, char **argv)
{
	static char made[TEXT_MAX];
	unsigned long rounds = argc > 3 ? strtoul(argv[1], NULL, 10) : 0;
	int i;

	for (i = 3; i < argc; i++)
		read_source(argv[i]);
	if (!rounds || !lines)
		stop("usage: contract_mutations ROUNDS SEED FILE...");
	state = strtoull(argv[2], NULL, 10);
	for (round_number = 0; round_number < rounds; round_number++) {
		size_t bytes = make(made);
		char *text = malloc(bytes + !bytes);
		struct reader reader;

		if (!text)
			stop("no memory");
		memcpy(text, made, bytes);
		if (read_start(&reader, text, bytes)) {
			while (read_case(&reader, &test)) {
				check(&reader);
				taken++;
			}
		}
		free(text);
	}
	if (!taken)
		stop("no case was taken: nothing was tested");
	printf("%lu files, %lu cases taken\n", rounds, taken);
	return 0;
}
