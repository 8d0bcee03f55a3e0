// SPDX-License-Identifier: GPL-2.0-only
/* The frame codec: see frame.h. Free of system calls, so that it runs on the host too. */
#include "frame.h"

#include <string.h>

static const uint8_t magic[4] = { 'A', 'B', 'X', '1' };

uint32_t abx_crc32(uint32_t crc, const void *data, size_t bytes)
{
	/* A nibble at a time: 64 bytes of table, and fast enough for a test's output. */
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
		0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
		0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	const uint8_t *p = data;

	crc = ~crc;
	while (bytes--) {
		crc ^= *p++;
		crc = (crc >> 4) ^ table[crc & 15];
		crc = (crc >> 4) ^ table[crc & 15];
	}
	return ~crc;
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = v & 0xff;
	p[1] = v >> 8;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v & 0xffff);
	put16(p + 2, v >> 16);
}

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) | (uint32_t)get16(p + 2) << 16;
}

size_t abx_frame_put(uint8_t *out, const struct abx_frame *frame)
{
	uint32_t crc;

	if (frame->length > ABX_PAYLOAD_MAX)
		return 0;
	memcpy(out, magic, sizeof(magic));
	out[4] = frame->type;
	out[5] = 0;
	put16(out + 6, frame->run);
	put32(out + 8, frame->seq);
	put32(out + 12, frame->length);
	memcpy(out + 16, frame->nonce, ABX_NONCE_BYTES);
	if (frame->length && frame->payload != out + ABX_HEADER_BYTES)
		memcpy(out + ABX_HEADER_BYTES, frame->payload, frame->length);
	crc = abx_crc32(0, out, 32);
	crc = abx_crc32(crc, out + ABX_HEADER_BYTES, frame->length);
	put32(out + 32, crc);
	return ABX_HEADER_BYTES + frame->length;
}

const char *abx_frame_get(const uint8_t *bytes, size_t have,
			  struct abx_frame *frame)
{
	uint32_t crc;

	if (have < ABX_HEADER_BYTES)
		return "truncated";
	if (memcmp(bytes, magic, sizeof(magic)))
		return "magic";
	if (bytes[5])
		return "reserved";
	frame->type = bytes[4];
	frame->run = get16(bytes + 6);
	frame->seq = get32(bytes + 8);
	frame->length = get32(bytes + 12);
	memcpy(frame->nonce, bytes + 16, ABX_NONCE_BYTES);
	frame->payload = bytes + ABX_HEADER_BYTES;
	if (frame->length > ABX_PAYLOAD_MAX)
		return "too-long";
	if (have - ABX_HEADER_BYTES < frame->length)
		return "truncated";
	crc = abx_crc32(0, bytes, 32);
	crc = abx_crc32(crc, frame->payload, frame->length);
	if (crc != get32(bytes + 32))
		return "crc";
	return NULL;
}
