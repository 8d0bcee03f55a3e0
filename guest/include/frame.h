/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The frame codec of the result port: PROTOCOL.md is the text this follows.
 *
 * Only the frame is known here (header, checksum, bounds). What may follow what
 * is the business of the two ends: the agent for the host's frames, the harness
 * for the guest's.
 */
#ifndef ABX_FRAME_H
#define ABX_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define ABX_HEADER_BYTES	36
#define ABX_PAYLOAD_MAX		65536
#define ABX_FRAME_MAX		(ABX_HEADER_BYTES + ABX_PAYLOAD_MAX)
#define ABX_NONCE_BYTES		16
#define ABX_NO_RUN		0xffff

enum abx_type {
	/* guest to host */
	ABX_HELLO = 1,
	ABX_START = 2,
	ABX_OUT = 3,
	ABX_END = 4,
	ABX_BEAT = 5,
	ABX_BYE = 6,
	ABX_REFUSE = 7,
	/* host to guest */
	ABX_PLAN = 65,
	ABX_CLOSE = 66,
};

struct abx_frame {
	uint8_t type;
	uint16_t run;
	uint32_t seq;
	uint8_t nonce[ABX_NONCE_BYTES];
	uint32_t length;
	const uint8_t *payload;
};

/* IEEE 802.3 CRC-32; start with 0 and feed the result back in to go on. */
uint32_t abx_crc32(uint32_t crc, const void *data, size_t bytes);

/*
 * Writes the frame to @out (ABX_HEADER_BYTES + @frame->length bytes) and returns
 * its size, or 0 if the payload is longer than a frame may carry. The payload may
 * already lie in its place behind the header.
 */
size_t abx_frame_put(uint8_t *out, const struct abx_frame *frame);

/*
 * Looks at the first @have bytes of a stream. Returns NULL and fills @frame when they
 * start with a whole, sound frame, "truncated" when more bytes are needed, or the
 * name of the problem as PROTOCOL.md has it.
 */
const char *abx_frame_get(const uint8_t *bytes, size_t have,
			  struct abx_frame *frame);

#endif
