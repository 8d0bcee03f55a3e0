// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checks the C codec and the agent's PLAN parser against vectors/frames.txt, on the host:
 *
 *	gcc -Wall -Wextra -Werror -Iguest/include -Iguest/agent guest/tests/frame_vectors.c \
 *		guest/agent/frame.c guest/agent/plan.c -o frame_vectors
 *	./frame_vectors guest/vectors/frames.txt
 *
 * Every `frame` line must encode to its `bytes` line and every stream must decode to its
 * frames, up to the expected problem. What a frame may follow is judged by the harness: where
 * the problem is of that kind, all frames must be sound for this side.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "plan.h"

#define FRAMES_MAX	80
#define STREAM_MAX	(4 * ABX_FRAME_MAX)

/* A `frame` line: its header, and its payload as a slice of the vector's payloads. */
struct expected {
	struct abx_frame frame;
	size_t payload_at;
	size_t end_at;		/* in the stream */
};

struct vector {
	char name[64];
	char from[16];
	char problem[32];
	unsigned long offset;
	uint8_t nonce[ABX_NONCE_BYTES];
	size_t frames;
	size_t stream_bytes;
	size_t payload_bytes;
	bool frame_pending;	/* a `frame` line waits for its `bytes` */
	struct expected frame[FRAMES_MAX];
	uint8_t stream[STREAM_MAX];
	uint8_t payload[STREAM_MAX];
};

static struct vector current, standard;
static struct plan plan;
static unsigned long line_number;
static unsigned int vectors;

static void __attribute__((noreturn, format(printf, 1, 2)))
fail(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "frame_vectors: line %lu, vector %s: ", line_number,
		current.name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(EXIT_FAILURE);
}

static unsigned int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c) : NULL;

	if (!at)
		fail("bad hex digit");
	return (unsigned int)(at - digits);
}

static size_t parse_hex(const char *text, uint8_t *out, size_t room)
{
	size_t bytes = strlen(text) / 2, i;

	if (strlen(text) % 2 || bytes > room)
		fail("bad length of hex");
	for (i = 0; i < bytes; i++)
		out[i] = (uint8_t)(hex_digit(text[2 * i]) << 4 |
				   hex_digit(text[2 * i + 1]));
	return bytes;
}

static size_t parse_payload(const char *text, uint8_t *out)
{
	size_t bytes = 0;

	if (!strcmp(text, "-"))
		return 0;
	while (*text) {
		if (*text != '\\') {
			out[bytes++] = (uint8_t)*text++;
			continue;
		}
		if (text[1] == 'n') {
			out[bytes++] = '\n';
			text += 2;
		} else if (text[1] == '\\') {
			out[bytes++] = '\\';
			text += 2;
		} else if (text[1] == 'x' && text[2]) {
			out[bytes++] = (uint8_t)(hex_digit(text[2]) << 4 |
						 hex_digit(text[3]));
			text += 4;
		} else {
			fail("bad escape");
		}
	}
	return bytes;
}

static void parse_nonce_word(const char *word, uint8_t *nonce)
{
	int i;

	for (i = 0; i < ABX_NONCE_BYTES; i++) {
		if (!strcmp(word, "zero"))
			nonce[i] = 0;
		else if (!strcmp(word, "nonce"))
			nonce[i] = current.nonce[i];
		else if (!strcmp(word, "other"))
			nonce[i] = (uint8_t)(current.nonce[i] + 0x50);
		else
			fail("bad nonce word");
	}
}

static void parse_frame(const char *text)
{
	struct expected *expected = &current.frame[current.frames];
	unsigned int type, run, seq;
	char word[16];
	int used = 0;

	if (current.frames == FRAMES_MAX || current.frame_pending)
		fail("too many frames, or one without bytes");
	if (sscanf(text, "%u %u %u %15s %n", &type, &run, &seq, word, &used) != 4 ||
	    !used || strlen(text) > STREAM_MAX - current.payload_bytes)
		fail("bad frame line");
	text += used;
	expected->frame.type = (uint8_t)type;
	expected->frame.run = (uint16_t)run;
	expected->frame.seq = seq;
	parse_nonce_word(word, expected->frame.nonce);
	expected->payload_at = current.payload_bytes;
	expected->frame.length =
		(uint32_t)parse_payload(text, current.payload + current.payload_bytes);
	current.payload_bytes += expected->frame.length;
	current.frame_pending = true;
}

static void parse_bytes(const char *text)
{
	static uint8_t encoded[ABX_FRAME_MAX];
	uint8_t *bytes = current.stream + current.stream_bytes;
	struct expected *expected = &current.frame[current.frames];
	size_t size = parse_hex(text, bytes, STREAM_MAX - current.stream_bytes);

	current.stream_bytes += size;
	if (!current.frame_pending)
		return;
	expected->frame.payload = current.payload + expected->payload_at;
	expected->end_at = current.stream_bytes;
	if (abx_frame_put(encoded, &expected->frame) != size ||
	    memcmp(encoded, bytes, size))
		fail("the frame is not encoded to its bytes");
	current.frames++;
	current.frame_pending = false;
}

static void parse_after(const char *text)
{
	char name[64], kept_name[64], kept_from[16];
	unsigned int frames;

	if (sscanf(text, "%63s %u", name, &frames) != 2 ||
	    strcmp(name, standard.name) || !frames || frames > standard.frames ||
	    memcmp(current.nonce, standard.nonce, ABX_NONCE_BYTES))
		fail("bad after line");
	memcpy(kept_name, current.name, sizeof(kept_name));
	memcpy(kept_from, current.from, sizeof(kept_from));
	current = standard;
	memcpy(current.name, kept_name, sizeof(kept_name));
	memcpy(current.from, kept_from, sizeof(kept_from));
	current.frames = frames;
	current.stream_bytes = standard.frame[frames - 1].end_at;
}

static void check_frame(size_t index, const struct abx_frame *got)
{
	const struct expected *expected = &current.frame[index];

	if (index >= current.frames)
		fail("more frames decoded than are there");
	if (got->type != expected->frame.type || got->run != expected->frame.run ||
	    got->seq != expected->frame.seq ||
	    got->length != expected->frame.length ||
	    memcmp(got->nonce, expected->frame.nonce, ABX_NONCE_BYTES) ||
	    memcmp(got->payload, current.payload + expected->payload_at,
		   got->length))
		fail("frame %zu is decoded to something else", index);
}

static void check_plan(void)
{
	static char text[ABX_PAYLOAD_MAX];
	const struct expected *expected = &current.frame[0];
	const char *problem;

	memcpy(text, current.payload + expected->payload_at, expected->frame.length);
	problem = plan_parse(&plan, text, expected->frame.length);
	if (strcmp(problem ? problem : "ok", current.problem))
		fail("the plan is %s, not %s", problem ? problem : "ok",
		     current.problem);
	if (problem && plan.line != current.offset)
		fail("%s in line %u, not %lu", problem, plan.line, current.offset);
}

static bool is_of_the_frame(const char *problem)
{
	return !strcmp(problem, "truncated") || !strcmp(problem, "magic") ||
	       !strcmp(problem, "reserved") || !strcmp(problem, "too-long") ||
	       !strcmp(problem, "crc");
}

static void check_vector(void)
{
	const char *problem = NULL;
	struct abx_frame got;
	size_t at = 0, index = 0;

	if (current.frame_pending)
		fail("a frame without bytes");
	while (at < current.stream_bytes) {
		problem = abx_frame_get(current.stream + at,
					current.stream_bytes - at, &got);
		if (problem)
			break;
		check_frame(index++, &got);
		at += ABX_HEADER_BYTES + got.length;
	}
	if (index != current.frames)
		fail("%zu frames decoded instead of %zu", index, current.frames);
	if (is_of_the_frame(current.problem)) {
		if (!problem || strcmp(problem, current.problem) ||
		    at != current.offset)
			fail("%s at %zu, not %s at %lu", problem ? problem : "ok", at,
			     current.problem, current.offset);
		return;
	}
	if (problem && strcmp(current.problem, "after-end"))
		fail("%s at %zu, not %s", problem, at, current.problem);
	if (!strcmp(current.from, "host"))
		check_plan();
}

static void parse_vector(const char *text)
{
	memset(&current, 0, sizeof(current));
	if (sscanf(text, "%63s", current.name) != 1)
		fail("no name");
}

static void parse_from(const char *text)
{
	if (sscanf(text, "%15s", current.from) != 1)
		fail("from whom?");
}

static void parse_nonce(const char *text)
{
	if (parse_hex(text, current.nonce, ABX_NONCE_BYTES) != ABX_NONCE_BYTES)
		fail("short nonce");
}

/* The last line of a vector. */
static void parse_expect(const char *text)
{
	int words = strcmp(text, "ok") ? 2 : 1;

	if (sscanf(text, "%31s %lu", current.problem, &current.offset) != words)
		fail("bad expectation");
	check_vector();
	if (!strcmp(current.name, "standard"))
		standard = current;
	vectors++;
}

static const struct {
	const char *word;
	void (*parse)(const char *text);
} keywords[] = {
	{ "vector ", parse_vector },
	{ "from ", parse_from },
	{ "nonce ", parse_nonce },
	{ "after ", parse_after },
	{ "frame ", parse_frame },
	{ "bytes ", parse_bytes },
	{ "expect ", parse_expect },
};

static void take_line(const char *line)
{
	size_t i;

	if (!line[0] || line[0] == '#')
		return;
	for (i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
		size_t bytes = strlen(keywords[i].word);

		if (!strncmp(line, keywords[i].word, bytes)) {
			keywords[i].parse(line + bytes);
			return;
		}
	}
	fail("unknown line");
}

int main(int argc, char **argv)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t got;
	FILE *file;

	file = argc == 2 ? fopen(argv[1], "r") : NULL;
	if (!file) {
		fprintf(stderr, "usage: frame_vectors guest/vectors/frames.txt\n");
		return EXIT_FAILURE;
	}
	while ((got = getline(&line, &size, file)) > 0) {
		line_number++;
		if (line[got - 1] == '\n')
			line[got - 1] = '\0';
		take_line(line);
	}
	free(line);
	fclose(file);
	if (!vectors)
		fail("no vectors");
	printf("%u vectors agree\n", vectors);
	return EXIT_SUCCESS;
}
