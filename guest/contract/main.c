// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs the cases that follow from the contract of a system call; see FORMAT.md.
 *
 *	contract FILE [enosys|good]
 *
 * Prints KTAP 1. Exits with 0 if all is as promised, 1 if not, 2 for a wrong file or command line.
 */
#include "contract.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Some thousands of cases are a tenth of it. */
#define FILE_BYTES_MAX	(64u << 20)

static struct test_case test;

static char *read_file(const char *path, size_t *bytes)
{
	FILE *file = fopen(path, "re");
	char *text = NULL;
	size_t room = 0;

	*bytes = 0;
	if (!file)
		return NULL;
	do {
		char *more;

		room = room ? 2 * room : 65536;
		more = room > 2 * FILE_BYTES_MAX ? NULL : realloc(text, room);
		if (!more) {
			errno = EFBIG;
			free(text);
			fclose(file);
			return NULL;
		}
		text = more;
		*bytes += fread(text + *bytes, 1, room - *bytes, file);
	} while (*bytes == room);
	if (ferror(file)) {
		free(text);
		text = NULL;
	}
	fclose(file);
	return text;
}

static int usage(void)
{
	fputs("contract: usage: contract FILE [enosys|good]\n", stderr);
	return 2;
}

/* Reads all cases, so that nothing is run of a file that is wrong. */
static bool count_cases(struct reader *reader, const char *text, size_t bytes, unsigned int *cases)
{
	*cases = 0;
	if (!read_start(reader, text, bytes))
		return false;
	for (; read_case(reader, &test); (*cases)++) {
		if (!*cases && strcmp(test.name, "good")) {
			reader->problem = "the first case is not `good`";
			return false;
		}
	}
	if (!reader->problem && !*cases)
		reader->problem = "there is no case";
	return !reader->problem;
}

/* True: ok or skipped. */
static bool print_result(unsigned int number, enum verdict verdict)
{
	bool good = verdict == VERDICT_OK || verdict == VERDICT_SKIP;

	fputs(report->said, stdout);
	printf("%s %u %s", good ? "ok" : "not ok", number, test.name);
	if (verdict == VERDICT_SKIP)
		printf(" # SKIP %s", report->reason);
	else if (verdict == VERDICT_ERROR)
		printf(" # ERROR %s", report->reason);
	putchar('\n');
	fflush(stdout);
	return good;
}

static int run_all(const char *text, size_t bytes, unsigned int cases, enum mode mode)
{
	struct reader reader;
	unsigned int i;
	int status = 0;

	printf("KTAP version 1\n1..%u\n", cases);
	read_start(&reader, text, bytes);
	for (i = 1; i <= cases && read_case(&reader, &test); i++) {
		enum verdict verdict = case_run(&test, mode);

		if (!print_result(i, verdict))
			status = 1;
		if (i == 1 && mode != MODE_ENOSYS && verdict != VERDICT_OK) {
			puts(verdict == VERDICT_NOT_OK ?
			     "Bail out! the good call does not do what the contract says" :
			     "Bail out! the good call could not be made");
			status = 1;
			break;
		}
	}
	return fflush(stdout) ? 1 : status;
}

int main(int argc, char **argv)
{
	enum mode mode = MODE_ALL;
	struct reader reader;
	unsigned int cases;
	size_t bytes;
	char *text;

	/* How `run cloexec` has a new program look at a descriptor. */
	if (argc == 3 && !strcmp(argv[1], "--is-open"))
		return is_open(argv[2]);
	if (argc == 3 && !strcmp(argv[2], "enosys"))
		mode = MODE_ENOSYS;
	else if (argc == 3 && !strcmp(argv[2], "good"))
		mode = MODE_GOOD;
	else if (argc != 2)
		return usage();
	text = read_file(argv[1], &bytes);
	if (!text) {
		fprintf(stderr, "contract: %s: %s\n", argv[1], strerror(errno));
		return 2;
	}
	if (!count_cases(&reader, text, bytes, &cases)) {
		fprintf(stderr, "contract: line %u: %s\n", reader.line, reader.problem);
		return 2;
	}
	/* Whatever a case leaves behind becomes our child, wherever it hides. */
	if (!report_make() || prctl(PR_SET_CHILD_SUBREAPER, 1)) {
		fprintf(stderr, "contract: %s\n", strerror(errno));
		return 2;
	}
	return run_all(text, bytes, mode == MODE_GOOD ? 1 : cases, mode);
}
