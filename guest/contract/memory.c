// SPDX-License-Identifier: GPL-2.0-only
/* The objects of a case, each in pages of its own with nothing mapped around them. */
#include "contract.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE		4096u
/* From one object to the next: the largest object, and room that stays empty. */
#define SLOT		(1u << 20)
/*
 * This far below where the kernel maps next, it maps nothing by itself while a case runs: it goes
 * down page by page, and nothing here needs so much. On i386 it is little compared with 4 GiB.
 */
#define AWAY		(64u << 20)
/* Above a program that is not relocated and its heap, below the 2 GiB: where any door can reach. */
#define LOW		0x60000000u

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE	0x100000
#endif

/* Each thread has memory of its own: calls write to it, and read what they have written. */
static __thread struct {
	unsigned char *page;
	size_t length;
	unsigned char *start;	/* of the object */
	uint32_t bytes;		/* of it that are mapped */
} map[OBJECTS_MAX];

static __thread unsigned char image[OBJECT_BYTES_MAX];
static __thread bool protected_now;
static uintptr_t high, low, unmapped;

/* Two errors that mean: somebody is there. */
static void *map_at(uintptr_t address, size_t length)
{
	void *got = mmap((void *)address, length, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (got == MAP_FAILED)
		return NULL;
	if (got != (void *)address) {	/* a kernel that does not know the flag */
		munmap(got, length);
		errno = EEXIST;
		return NULL;
	}
	return got;
}

/* The next slot below *@cursor that is free. */
static unsigned char *map_below(uintptr_t *cursor, size_t length)
{
	unsigned int tries;

	for (tries = 0; tries < 200; tries++) {
		unsigned char *page;

		*cursor -= SLOT;
		page = map_at(*cursor, length);
		if (page)
			return page;
		if (errno != EEXIST)
			break;
	}
	trouble("no place for an object: %s", strerror(errno));
}

static size_t pages(size_t bytes)
{
	return (bytes + PAGE - 1) / PAGE * PAGE;
}

static void map_object(unsigned int number, const struct object *object)
{
	uint32_t bytes = object->place == PLACE_CROSS ? (uint32_t)object->where : object->bytes;
	size_t length = pages(bytes + (object->place == PLACE_ODD));
	unsigned char *page;

	if (!length)
		length = PAGE;
	if (object->place == PLACE_AT) {
		page = object->where <= UINTPTR_MAX ? map_at((uintptr_t)object->where, length) : NULL;
		if (!page)
			trouble("object %u cannot be mapped there", number);
	} else {
		page = map_below(object->place == PLACE_HIGH ? &high : &low, length);
	}
	if (object->place == PLACE_HIGH && !((uint64_t)(uintptr_t)page >> 32))
		trouble("this program has no memory above 4 GiB");
	map[number].page = page;
	map[number].length = length;
	map[number].bytes = bytes;
	map[number].start = page;
	if (object->place == PLACE_ODD)
		map[number].start = page + 1;
	else if (object->place == PLACE_END || object->place == PLACE_CROSS)
		map[number].start = page + length - bytes;
}

/* What a further thread needs, before there is one. */
void memory_map_again(const struct test_case *test)
{
	unsigned int i;

	for (i = 0; i < test->objects; i++)
		map_object(i, &test->object[i]);
	protected_now = false;
}

void memory_map(const struct test_case *test)
{
	unsigned char *page;
	unsigned int i;

	page = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		trouble("mmap: %s", strerror(errno));
	high = ((uintptr_t)page & ~(uintptr_t)(SLOT - 1)) - AWAY;
	munmap(page, PAGE);
	low = LOW;
	for (i = 0; i < test->objects; i++)
		map_object(i, &test->object[i]);
	page = map_below(&low, 3 * PAGE);
	munmap(page, 3 * PAGE);
	unmapped = (uintptr_t)page + PAGE;
}

uint64_t value_of(const struct value *value)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < value->terms; i++) {
		const struct term *term = &value->term[i];

		switch (term->kind) {
		case TERM_NUMBER:
			sum += term->number;
			break;
		case TERM_OBJECT:
			sum += (uintptr_t)map[term->number].start;
			break;
		case TERM_UNMAPPED:
			sum += unmapped;
			break;
		case TERM_FD:
			sum += (uint64_t)thing_fd(term->number);
			break;
		case TERM_PID:
			sum += (uint64_t)thing_pid(term->number);
			break;
		}
	}
	return sum;
}

static void make_image(const struct test_case *test, unsigned int number)
{
	unsigned int i, j;

	memset(image, 0, test->object[number].bytes);
	for (i = 0; i < test->fills; i++) {
		const struct fill *fill = &test->fill[i];
		uint64_t value;

		if (fill->object != number)
			continue;
		value = fill->width ? value_of(&fill->value) : 0;
		for (j = 0; j < fill->bytes; j++)
			image[fill->offset + j] = fill->width ? (unsigned char)(value >> 8 * j) :
								hex_byte(fill->digits + 2 * j);
	}
}

static bool is_open_to_us(const struct object *object)
{
	return object->place != PLACE_RO && object->place != PLACE_NONE;
}

void memory_fill(const struct test_case *test)
{
	unsigned int i;

	for (i = 0; i < test->objects; i++) {
		/* What user space cannot write, no call has changed. */
		if (protected_now && !is_open_to_us(&test->object[i]))
			continue;
		make_image(test, i);
		memcpy(map[i].start, image, map[i].bytes);
	}
	protected_now = true;
}

void memory_protect(const struct test_case *test)
{
	unsigned int i;

	for (i = 0; i < test->objects; i++) {
		enum place place = test->object[i].place;
		int protection = place == PLACE_RO ? PROT_READ :
				 place == PLACE_WO ? PROT_WRITE : PROT_NONE;

		if (place != PLACE_RO && place != PLACE_WO && place != PLACE_NONE)
			continue;
		if (mprotect(map[i].page, map[i].length, protection))
			trouble("mprotect: %s", strerror(errno));
	}
}

#define SHOWN	16u	/* bytes around a difference */

static void print_hex(char *text, const unsigned char *bytes, uint32_t count)
{
	static const char digits[] = "0123456789abcdef";
	uint32_t i;

	for (i = 0; i < count; i++) {
		*text++ = digits[bytes[i] >> 4];
		*text++ = digits[bytes[i] & 15];
	}
	*text = '\0';
}

void memory_check(const struct test_case *test)
{
	unsigned int i, j;

	for (i = 0; i < test->afters; i++) {
		const struct after *after = &test->after[i];
		const unsigned char *found = map[after->object].start + after->offset;
		enum place place = test->object[after->object].place;
		char is[2 * SHOWN + 1], wanted[2 * SHOWN + 1];
		uint32_t first, count;

		if ((place == PLACE_WO || place == PLACE_NONE) &&
		    mprotect(map[after->object].page, map[after->object].length, PROT_READ))
			trouble("mprotect: %s", strerror(errno));
		for (j = 0; j < after->bytes; j++)
			image[j] = hex_byte(after->digits + 2 * j);
		for (first = 0; first < after->bytes && found[first] == image[first]; first++)
			;
		if (first == after->bytes)
			continue;
		count = after->bytes - first < SHOWN ? after->bytes - first : SHOWN;
		print_hex(is, found + first, count);
		print_hex(wanted, image + first, count);
		fail("object %u has at %u: %s, not %s", after->object, after->offset + first, is,
		     wanted);
	}
}
