// SPDX-License-Identifier: GPL-2.0-only
/* Reads the file: strict, bounded, free of system calls. See FORMAT.md. */
#include "contract.h"

#include <string.h>

#define WORDS_MAX	(RESULTS_MAX + 2)
#define LINE_BYTES_MAX	(2 * HEX_BYTES_MAX + 64)

struct words {
	char text[LINE_BYTES_MAX + 1];
	unsigned int count;
	char *word[WORDS_MAX];
};

static bool parse_number(const char *text, uint64_t *number)
{
	bool minus = *text == '-';
	uint64_t base = 10, value = 0;

	text += minus;
	if (!minus && text[0] == '0' && text[1] == 'x') {
		base = 16;
		text += 2;
	}
	if (!*text)
		return false;
	for (; *text; text++) {
		uint64_t digit;

		if (*text >= '0' && *text <= '9')
			digit = (uint64_t)(*text - '0');
		else if (base == 16 && *text >= 'a' && *text <= 'f')
			digit = (uint64_t)(*text - 'a' + 10);
		else
			return false;
		if (value > (UINT64_MAX - digit) / base)
			return false;
		value = value * base + digit;
	}
	if (minus && value > 1ULL << 63)
		return false;
	*number = minus ? -value : value;
	return true;
}

/* A number that is not negative, and at most @max. */
static bool parse_up_to(const char *text, uint64_t max, uint32_t *number)
{
	uint64_t value;

	if (*text == '-' || !parse_number(text, &value) || value > max)
		return false;
	*number = (uint32_t)value;
	return true;
}

uint8_t hex_byte(const char *digits)
{
	unsigned int byte = 0, i;

	for (i = 0; i < 2; i++) {
		char c = digits[i];

		byte = byte << 4 | (unsigned int)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	return (uint8_t)byte;
}

static bool parse_digits(const char *text, uint32_t *bytes)
{
	size_t length = strspn(text, "0123456789abcdef");

	if (text[length] || !length || length % 2 || length / 2 > HEX_BYTES_MAX)
		return false;
	*bytes = (uint32_t)length / 2;
	return true;
}

static const char *const fd_names[THINGS] = {
	[THING_FILE] = "file", [THING_FILE_RO] = "file-ro", [THING_FILE_WO] = "file-wo",
	[THING_DIR] = "dir", [THING_CWD] = "cwd", [THING_PATH] = "path", [THING_NULL] = "null",
	[THING_PIPE_R] = "pipe-r", [THING_PIPE_W] = "pipe-w", [THING_EVENTFD] = "eventfd",
	[THING_EPOLL] = "epoll", [THING_MEMFD] = "memfd", [THING_TIMERFD] = "timerfd",
	[THING_SOCKET] = "socket", [THING_CLOSED] = "closed", [THING_SELF] = "pidfd-self",
	[THING_CHILD] = "pidfd-child", [THING_DEAD] = "pidfd-dead", [THING_OTHER] = "pidfd-other",
	[THING_UNDUMPABLE] = "pidfd-undumpable",
};

static bool parse_thing(const char *name, bool process, struct term *term)
{
	unsigned int thing;

	for (thing = process ? THING_SELF : 0; thing < THINGS; thing++) {
		if (!strcmp(name, fd_names[thing] + (process ? strlen("pidfd-") : 0))) {
			term->kind = process ? TERM_PID : TERM_FD;
			term->number = thing;
			return true;
		}
	}
	return false;
}

static bool parse_term(const char *text, struct term *term)
{
	uint32_t object;

	if (*text == '@') {
		term->kind = TERM_OBJECT;
		if (!parse_up_to(text + 1, OBJECTS_MAX - 1, &object))
			return false;
		term->number = object;
		return true;
	}
	if (!strncmp(text, "fd:", 3))
		return parse_thing(text + 3, false, term);
	if (!strncmp(text, "pid:", 4))
		return parse_thing(text + 4, true, term);
	term->number = 0;
	term->kind = TERM_UNMAPPED;
	if (!strcmp(text, "unmapped"))
		return true;
	term->kind = TERM_NUMBER;
	return parse_number(text, &term->number);
}

/* Cuts up the word. */
static bool parse_value(struct reader *reader, char *text, struct value *value)
{
	char *next;

	value->line = reader->line;
	for (value->terms = 0; text; text = next) {
		next = strchr(text, '+');
		if (next)
			*next++ = '\0';
		if (value->terms == TERMS_MAX || !parse_term(text, &value->term[value->terms++]))
			return false;
	}
	return true;
}

/* ---- lines ---- */

static bool wrong(struct reader *reader, const char *problem)
{
	reader->problem = problem;
	return false;
}

/* The next line and its words. False: there is none, or a problem. */
static bool next_line(struct reader *reader, struct words *words)
{
	const char *start = reader->text + reader->at;
	const char *end;
	char *word;
	size_t i, length;

	if (reader->at == reader->bytes)
		return false;
	reader->line++;
	end = memchr(start, '\n', reader->bytes - reader->at);
	if (!end)
		return wrong(reader, "the last line has no end");
	length = (size_t)(end - start);
	if (length > LINE_BYTES_MAX)
		return wrong(reader, "the line is too long");
	for (i = 0; i < length; i++)
		if (start[i] < 0x20 || start[i] > 0x7e)
			return wrong(reader, "a byte that is not printable ASCII");
	memcpy(words->text, start, length);
	words->text[length] = '\0';
	reader->at += length + 1;
	words->count = 0;
	if (!strncmp(words->text, "case ", 5)) {
		words->text[4] = '\0';
		words->word[words->count++] = words->text;
		words->word[words->count++] = words->text + 5;
		return true;
	}
	for (word = words->text; word;) {
		char *next = strchr(word, ' ');

		if (next)
			*next++ = '\0';
		if (!*word)
			return wrong(reader, "an empty line, or a space too many");
		if (words->count == WORDS_MAX)
			return wrong(reader, "too many words");
		words->word[words->count++] = word;
		word = next;
	}
	return true;
}

/* Where a word of the line stands in the file's text, which stays. */
static const char *in_text(const struct reader *reader, const struct words *words,
			   const char *word)
{
	size_t length = strlen(words->word[words->count - 1]) +
			(size_t)(words->word[words->count - 1] - words->text);

	return reader->text + reader->at - 1 - length + (word - words->text);
}

static bool read_object(struct reader *reader, struct test_case *test, struct words *words)
{
	static const char *const places[] = {
		[PLACE_PLAIN] = "plain", [PLACE_ODD] = "odd", [PLACE_END] = "end",
		[PLACE_RO] = "ro", [PLACE_WO] = "wo", [PLACE_NONE] = "none", [PLACE_HIGH] = "high",
	};
	struct object *object = &test->object[test->objects];
	const char *place = words->word[3];
	uint32_t number;
	unsigned int i;

	if (!parse_up_to(words->word[1], OBJECTS_MAX - 1, &number) || number != test->objects)
		return wrong(reader, "objects are numbered from 0 to 31, in order");
	if (!parse_up_to(words->word[2], OBJECT_BYTES_MAX, &object->bytes))
		return wrong(reader, "bad size of an object");
	test->objects++;
	if (!strncmp(place, "cross:", 6)) {
		object->place = PLACE_CROSS;
		if (!parse_up_to(place + 6, object->bytes, &number))
			return wrong(reader, "cross: takes a number of bytes, at most all");
		object->where = number;
		return true;
	}
	if (!strncmp(place, "at:", 3)) {
		object->place = PLACE_AT;
		if (!parse_number(place + 3, &object->where) || object->where % 4096)
			return wrong(reader, "at: takes a page-aligned address");
		return true;
	}
	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (places[i] && !strcmp(place, places[i])) {
			object->place = i;
			return true;
		}
	}
	return wrong(reader, "no such place");
}

/* ID and OFFSET of a line; there must be such an object. */
static bool read_spot(struct reader *reader, const struct test_case *test, struct words *words,
		      unsigned int *object, uint32_t *offset)
{
	uint32_t number;

	if (!parse_up_to(words->word[1], OBJECTS_MAX - 1, &number) || number >= test->objects)
		return wrong(reader, "no such object, or not yet");
	*object = number;
	if (!parse_up_to(words->word[2], OBJECT_BYTES_MAX, offset))
		return wrong(reader, "bad offset");
	return true;
}

static bool read_fill(struct reader *reader, struct test_case *test, struct words *words,
		      bool digits)
{
	struct fill *fill = &test->fill[test->fills];

	if (test->fills == FILLS_MAX)
		return wrong(reader, "more than 1024 put and hex lines");
	if (!read_spot(reader, test, words, &fill->object, &fill->offset))
		return false;
	fill->width = 0;
	if (digits) {
		if (!parse_digits(words->word[3], &fill->bytes))
			return wrong(reader, "bad digits");
		fill->digits = in_text(reader, words, words->word[3]);
	} else {
		if (!parse_up_to(words->word[3], 8, &fill->bytes) || !fill->bytes ||
		    (fill->bytes & (fill->bytes - 1)))
			return wrong(reader, "the width is 1, 2, 4 or 8");
		fill->width = fill->bytes;
		if (!parse_value(reader, words->word[4], &fill->value))
			return wrong(reader, "bad value");
	}
	if (fill->offset + fill->bytes > test->object[fill->object].bytes)
		return wrong(reader, "beyond the object's end");
	test->fills++;
	return true;
}

static bool read_after(struct reader *reader, struct test_case *test, struct words *words)
{
	struct after *after = &test->after[test->afters];
	const struct object *object;

	if (test->afters == AFTERS_MAX)
		return wrong(reader, "more than 64 after lines");
	if (!read_spot(reader, test, words, &after->object, &after->offset))
		return false;
	if (!parse_digits(words->word[3], &after->bytes))
		return wrong(reader, "bad digits");
	after->digits = in_text(reader, words, words->word[3]);
	object = &test->object[after->object];
	if (after->offset + after->bytes >
	    (object->place == PLACE_CROSS ? object->where : object->bytes))
		return wrong(reader, "beyond what is there of the object");
	test->afters++;
	return true;
}

static bool read_door(struct reader *reader, struct test_case *test, const char *name)
{
	static const char *const doors[] = {
		[DOOR_OWN] = "own", [DOOR_I386] = "i386", [DOOR_X32] = "x32", [DOOR_X64] = "x64",
	};
	unsigned int i;

	for (i = 0; i < sizeof(doors) / sizeof(doors[0]); i++) {
		if (strcmp(name, doors[i]))
			continue;
		test->door = i;
#ifdef __i386__
		if (i == DOOR_X32 || i == DOOR_X64)
			return wrong(reader, "no way to this door from an i386 program");
#endif
		return true;
	}
	return wrong(reader, "no such door");
}

/* ---- run ---- */

static bool read_creds(struct run *run, const char *set)
{
	if (!strncmp(set, "cap:", 4)) {
		run->creds = CREDS_CAP;
		return parse_up_to(set + 4, 63, &run->number[0]);
	}
	if (!strncmp(set, "nocap:", 6)) {
		run->creds = CREDS_NOCAP;
		return parse_up_to(set + 6, 63, &run->number[0]);
	}
	if (!strcmp(set, "root"))
		run->creds = CREDS_ROOT;
	else if (!strcmp(set, "none"))
		run->creds = CREDS_NONE;
	else if (!strcmp(set, "userns"))
		run->creds = CREDS_USERNS;
	else
		return false;
	return true;
}

/* One of two words. */
static bool read_choice(struct run *run, const char *word, const char *no, const char *yes)
{
	run->yes = !strcmp(word, yes);
	return run->yes || !strcmp(word, no);
}

static const struct {
	const char *name;
	enum run_kind kind;
	unsigned int words;	/* behind the name */
	bool of_fd;		/* the result must be a descriptor */
	uint32_t min[2], max[2];
} runs[] = {
	{ "call", RUN_CALL, 0, false, { 0, 0 }, { 0, 0 } },
	{ "cloexec", RUN_CLOEXEC, 1, true, { 0, 0 }, { 0, 0 } },
	{ "lowest", RUN_LOWEST, 0, true, { 0, 0 }, { 0, 0 } },
	{ "nofile", RUN_NOFILE, 0, false, { 0, 0 }, { 0, 0 } },
	{ "getfl", RUN_GETFL, 2, true, { 0, 0 }, { INT32_MAX, INT32_MAX } },
	{ "poll", RUN_POLL, 2, true, { 0, 0 }, { INT16_MAX, INT16_MAX } },
	{ "nopoll", RUN_NOPOLL, 0, true, { 0, 0 }, { 0, 0 } },
	{ "repeat", RUN_REPEAT, 1, false, { 1, 0 }, { 1000000, 0 } },
	{ "creds", RUN_CREDS, 1, false, { 0, 0 }, { 0, 0 } },
	{ "interrupt", RUN_INTERRUPT, 1, false, { 0, 0 }, { 0, 0 } },
	{ "threads", RUN_THREADS, 2, false, { 1, 1 }, { THREADS_MAX, DEADLINE_MS_MAX } },
	{ "failnth", RUN_FAILNTH, 1, false, { 1, 0 }, { 1000000, 0 } },
	{ "seccomp", RUN_SECCOMP, 2, false, { 0, 0 }, { UINT32_MAX, UINT32_MAX } },
	{ "seccomp-other", RUN_SECCOMP_OTHER, 2, false, { 0, 0 }, { UINT32_MAX, UINT32_MAX } },
};

static bool read_run(struct reader *reader, struct test_case *test, struct words *words)
{
	struct run *run = &test->run;
	char **word = words->word + 2;
	unsigned int i, j;

	for (i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
		if (!strcmp(words->word[1], runs[i].name))
			break;
	if (i == sizeof(runs) / sizeof(runs[0]))
		return wrong(reader, "no such run");
	if (words->count != 2 + runs[i].words)
		return wrong(reader, "too few or too many words for this run");
	run->kind = runs[i].kind;
	if (run->kind == RUN_CLOEXEC)
		return read_choice(run, word[0], "clear", "set") ||
		       wrong(reader, "cloexec takes set or clear");
	run->always = run->kind == RUN_INTERRUPT && !strcmp(word[0], "always");
	if (run->kind == RUN_INTERRUPT)
		return read_choice(run, word[0], "eintr", "restart") ||
		       read_choice(run, word[0], "always", "restart") ||
		       wrong(reader, "interrupt takes eintr, restart or always");
	if (run->kind == RUN_CREDS)
		return read_creds(run, word[0]) ||
		       wrong(reader, "creds takes root, cap:N, nocap:N, none or userns");
	for (j = 0; j < runs[i].words; j++)
		if (!parse_up_to(word[j], runs[i].max[j], &run->number[j]) ||
		    run->number[j] < runs[i].min[j])
			return wrong(reader, "bad number for this run");
	return true;
}

static bool wants_fd(const struct run *run)
{
	unsigned int i;

	for (i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
		if (runs[i].kind == run->kind)
			return runs[i].of_fd;
	return false;
}

/* ---- expect ---- */

static bool read_results(struct reader *reader, struct expectation *expect, char **word,
			 unsigned int words)
{
	unsigned int i;

	if (!words || words > RESULTS_MAX)
		return wrong(reader, "no results, or too many");
	for (i = 0; i < words; i++) {
		int64_t error = errno_number(word[i]);
		uint64_t number;

		if (error)
			expect->result[i] = -error;
		else if (parse_number(word[i], &number))
			expect->result[i] = (int64_t)number;
		else
			return wrong(reader, "neither a number nor an errno's name");
	}
	expect->results = words;
	return true;
}

static bool read_expect(struct reader *reader, struct test_case *test, struct words *words)
{
	static const struct {
		const char *name;
		enum expect_kind kind;
	} alone[] = {
		{ "fd", EXPECT_FD }, { "pid", EXPECT_PID }, { "positive", EXPECT_POSITIVE },
		{ "any", EXPECT_ANY },
	};
	struct expectation *expect = &test->expect;
	unsigned int i;

	expect->results = 0;
	for (i = 0; i < sizeof(alone) / sizeof(alone[0]); i++) {
		if (strcmp(words->word[1], alone[i].name))
			continue;
		expect->kind = alone[i].kind;
		return words->count == 2 || wrong(reader, "this expectation stands alone");
	}
	if (!strcmp(words->word[1], "not")) {
		expect->kind = EXPECT_NOT;
		return read_results(reader, expect, words->word + 2, words->count - 2);
	}
	expect->kind = EXPECT_RESULTS;
	return read_results(reader, expect, words->word + 1, words->count - 1);
}

/* ---- cases ---- */

enum once { ONCE_NUMBER, ONCE_DOOR, ONCE_RUN, ONCE_DEADLINE, ONCE_EXPECT, ONCE_ARG };

static bool first_time(struct reader *reader, unsigned int *seen, unsigned int what)
{
	if (*seen & 1u << what)
		return wrong(reader, "a second line of this kind");
	*seen |= 1u << what;
	return true;
}

static bool read_line(struct reader *reader, struct test_case *test, struct words *words,
		      unsigned int *seen)
{
	const char *key = words->word[0];
	uint32_t number;

	if (!strcmp(key, "obj") && words->count == 4)
		return read_object(reader, test, words);
	if (!strcmp(key, "put") && words->count == 5)
		return read_fill(reader, test, words, false);
	if (!strcmp(key, "hex") && words->count == 4)
		return read_fill(reader, test, words, true);
	if (!strcmp(key, "after") && words->count == 4)
		return read_after(reader, test, words);
	if (!strcmp(key, "number") && words->count == 2) {
		if (!parse_up_to(words->word[1], 0x3fffffff, &test->number))
			return wrong(reader, "bad number of a system call");
		return first_time(reader, seen, ONCE_NUMBER);
	}
	if (!strcmp(key, "door") && words->count == 2)
		return first_time(reader, seen, ONCE_DOOR) &&
		       read_door(reader, test, words->word[1]);
	if (!strcmp(key, "arg") && words->count == 3) {
		if (!parse_up_to(words->word[1], ARGS - 1, &number))
			return wrong(reader, "arguments are numbered from 0 to 5");
		return first_time(reader, seen, ONCE_ARG + number) &&
		       (parse_value(reader, words->word[2], &test->arg[number]) ||
			wrong(reader, "bad value"));
	}
	if (!strcmp(key, "run") && words->count >= 2)
		return first_time(reader, seen, ONCE_RUN) && read_run(reader, test, words);
	if (!strcmp(key, "deadline") && words->count == 2) {
		if (!parse_up_to(words->word[1], DEADLINE_MS_MAX, &test->deadline_ms) ||
		    !test->deadline_ms)
			return wrong(reader, "a deadline is 1 to 600000 ms");
		return first_time(reader, seen, ONCE_DEADLINE);
	}
	if (!strcmp(key, "expect") && words->count >= 2)
		return first_time(reader, seen, ONCE_EXPECT) &&
		       read_expect(reader, test, words);
	return wrong(reader, "no such line in a case, or too few or too many words");
}

static bool check_value(struct reader *reader, const struct test_case *test,
			const struct value *value)
{
	unsigned int i;

	for (i = 0; i < value->terms; i++) {
		if (value->term[i].kind == TERM_OBJECT &&
		    value->term[i].number >= test->objects) {
			reader->line = value->line;
			return wrong(reader, "no such object");
		}
	}
	return true;
}

static bool check_case(struct reader *reader, const struct test_case *test, unsigned int seen)
{
	unsigned int i;

	if (!(seen & 1u << ONCE_NUMBER) || !(seen & 1u << ONCE_EXPECT))
		return wrong(reader, "the case has no number, or expects nothing");
	if (wants_fd(&test->run) && test->expect.kind != EXPECT_FD)
		return wrong(reader, "this run needs `expect fd`");
	for (i = 0; i < ARGS; i++)
		if (!check_value(reader, test, &test->arg[i]))
			return false;
	for (i = 0; i < test->fills; i++)
		if (test->fill[i].width && !check_value(reader, test, &test->fill[i].value))
			return false;
	return true;
}

static bool read_name(struct reader *reader, struct test_case *test, const char *name)
{
	size_t length = strlen(name);

	if (!length || length > NAME_BYTES_MAX || strchr(name, '#') || name[0] == ' ' ||
	    name[length - 1] == ' ')
		return wrong(reader, "bad name of a case");
	memcpy(test->name, name, length + 1);
	return true;
}

bool read_start(struct reader *reader, const char *text, size_t bytes)
{
	static struct words words;

	memset(reader, 0, sizeof(*reader));
	reader->text = text;
	reader->bytes = bytes;
	if (next_line(reader, &words) && words.count == 2 &&
	    !strcmp(words.word[0], "contract") && !strcmp(words.word[1], "1"))
		return true;
	if (!reader->problem)
		reader->problem = "the first line is not `contract 1`";
	return false;
}

bool read_case(struct reader *reader, struct test_case *test)
{
	static struct words words;
	unsigned int seen = 0, i;

	if (!next_line(reader, &words))
		return false;
	if (words.count != 2 || strcmp(words.word[0], "case"))
		return wrong(reader, "no case begins here");
	if (!read_name(reader, test, words.word[1]))
		return false;
	test->objects = test->fills = test->afters = 0;
	test->door = DOOR_OWN;
	memset(&test->run, 0, sizeof(test->run));	/* RUN_CALL */
	test->deadline_ms = 10000;
	for (i = 0; i < ARGS; i++)
		test->arg[i].terms = 0;
	while (next_line(reader, &words)) {
		if (words.count == 1 && !strcmp(words.word[0], "end"))
			return check_case(reader, test, seen);
		if (!read_line(reader, test, &words, &seen))
			return false;
	}
	if (!reader->problem)
		reader->problem = "the last case has no end";
	return false;
}
