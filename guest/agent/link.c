// SPDX-License-Identifier: GPL-2.0-only
/* The result port, or what stands for it over ssh: finding it, sending and receiving frames. */
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
	int fd;
	bool ends;		/* it is a connection: its end of file is one */
	uint32_t seq;		/* of the next frame we send */
	uint32_t digest;	/* CRC-32 over every byte sent so far */
	uint32_t host_seq;	/* of the next frame we expect */
	uint8_t nonce[ABX_NONCE_BYTES];
} port = { .fd = -1 };

/* The port with words for people, if the host has given one, and whether a line is open there. */
static int words_fd = -1;
static bool words_open;

/* Static, since PID 1 must be able to report when memory is short. */
static uint8_t sending[ABX_FRAME_MAX];
static uint8_t receiving[ABX_FRAME_MAX];

void nap(uint32_t ms)
{
	struct timespec time = {
		.tv_sec = ms / 1000,
		.tv_nsec = (long)(ms % 1000) * 1000000,
	};

	nanosleep(&time, NULL);
}

void text_add(struct text *text, const char *format, ...)
{
	size_t room = sizeof(text->bytes) - text->used;
	va_list args;
	int bytes;

	va_start(args, format);
	bytes = vsnprintf(text->bytes + text->used, room, format, args);
	va_end(args);
	if (bytes < 0 || (size_t)bytes >= room)
		die("a message grew too long");
	text->used += (size_t)bytes;
}

/* Strings come from the kernel; whatever they hold, they stay one line of ASCII. */
void text_string(struct text *text, const char *key, const char *value)
{
	char clean[257];
	size_t i;

	for (i = 0; i < sizeof(clean) - 1 && value[i]; i++)
		clean[i] = value[i] < 0x20 || value[i] > 0x7e ? '?' : value[i];
	clean[i] = '\0';
	text_add(text, "%s=%s\n", key, clean);
}

#ifdef ABX_HOST_TEST
static int find_port(const char *wanted)
{
	if (strcmp(wanted, PORT_NAME))
		return -1;
	port.ends = true;
	fcntl(3, F_SETFD, FD_CLOEXEC);
	return 3;
}
#else
static int find_port(const char *wanted)
{
	static const char class[] = "/sys/class/virtio-ports";
	char path[512], name[64];
	struct dirent *entry;
	int fd = -1;
	DIR *dir;

	dir = opendir(class);
	if (!dir)
		return -1;
	while (fd < 0 && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s/name", class, entry->d_name);
		if (!read_line(path, name, sizeof(name)) || strcmp(name, wanted))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
		fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
	}
	closedir(dir);
	return fd;
}
#endif

void link_open(void)
{
	uint64_t limit = now_ns() + PORT_WAIT_MS * NS_PER_MS;
	uint32_t pause_ms = 1;

	if (ssh_wanted()) {
		port.fd = ssh_open();
		port.ends = true;
		return;
	}
	for (;;) {
		port.fd = find_port(PORT_NAME);
		if (port.fd >= 0) {
			/* Before the other one on the bus: it is there by now, or never. */
			words_fd = find_port(WORDS_NAME);
			return;
		}
		if (now_ns() >= limit)
			die("no virtio port named " PORT_NAME " within %d ms",
			    PORT_WAIT_MS);
		nap(pause_ms);
		if (pause_ms < 16)
			pause_ms *= 2;
	}
}

/* Words are a courtesy: whoever does not take them loses them. */
static void words_put(const char *bytes, size_t left)
{
	ssize_t sent;

	while (words_fd >= 0 && left) {
		sent = write(words_fd, bytes, left);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return;
		bytes += sent;
		left -= (size_t)sent;
		words_open = bytes[-1] != '\n';
	}
}

void tell(const char *format, ...)
{
	char line[PLAN_VALUE_MAX + 64];
	va_list args;
	int bytes;

	va_start(args, format);
	bytes = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (words_open)
		words_put("\n", 1);
	if (bytes > 0 && (size_t)bytes < sizeof(line))
		words_put(line, (size_t)bytes);
}

/* Without it nothing can be told; what is said here tells whose fault it is. */
static void __attribute__((noreturn)) lost(const char *what, const char *why)
{
	die("%scannot %s: %s", port.ends ? "connection: " : "the port: ", what, why);
}

static void send_frame(enum abx_type type, uint16_t run, const void *payload,
		       size_t bytes)
{
	struct abx_frame frame = {
		.type = (uint8_t)type,
		.run = run,
		.seq = port.seq,
		.length = (uint32_t)bytes,
		.payload = payload,
	};
	struct pollfd writable = { .fd = port.fd, .events = POLLOUT };
	size_t total, done = 0;
	ssize_t sent;

	memcpy(frame.nonce, port.nonce, sizeof(frame.nonce));
	total = abx_frame_put(sending, &frame);
	if (!total)
		die("a frame of type %d grew too long", (int)type);
	while (done < total) {
		ssh_tend();
		if (ssh_serves() && poll(&writable, 1, 1000) < 1)
			continue;
		/* Blocks while the host is slow; deadlines are looked at afterwards. */
		sent = write(port.fd, sending + done, total - done);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			lost("write", strerror(errno));
		done += (size_t)sent;
	}
	port.digest = abx_crc32(port.digest, sending, total);
	port.seq++;
}

void link_send_text(enum abx_type type, uint16_t run, const struct text *text)
{
	send_frame(type, run, text->bytes, text->used);
}

ssize_t link_forward(uint16_t run, uint8_t stream, int fd)
{
	uint8_t *payload = sending + ABX_HEADER_BYTES;
	ssize_t got;

	got = read(fd, payload + 1, OUT_BYTES_MAX);
	if (got <= 0)
		return got;
	payload[0] = stream;
	send_frame(ABX_OUT, run, payload, (size_t)got + 1);
	if (stream == 1)
		words_put((const char *)payload + 1, (size_t)got);
	return got;
}

void link_hello(void)
{
	struct text text = { .used = 0 };

	describe_machine(&text);
	link_send_text(ABX_HELLO, ABX_NO_RUN, &text);
}

/* A reason the host did wrong before there was a plan: tell both ends, go off. */
static void __attribute__((noreturn)) refuse_frame(const char *problem)
{
	link_refuse(problem, 0);
	die("frame of the host refused: %s", problem);
}

/*
 * Over ssh a host that has our hello sends its plan at once. Where none comes the connection takes
 * nothing, or gives nothing, and we are the only ones who can tell that from a guest that hangs.
 */
static void await_bytes(uint64_t limit)
{
	struct pollfd readable = { .fd = port.fd, .events = POLLIN };

	while (poll(&readable, 1, 100) < 1)
		if (now_ns() >= limit)
			die("connection: no plan within %d ms", PLAN_WAIT_MS);
}

static void receive_bytes(uint8_t *bytes, size_t want)
{
	uint64_t limit = now_ns() + PLAN_WAIT_MS * NS_PER_MS;
	ssize_t got;

	while (want) {
		if (ssh_serves())
			await_bytes(limit);
		got = read(port.fd, bytes, want);
		if (got < 0 && errno != EINTR && errno != EAGAIN)
			lost("read", strerror(errno));
		if (got > 0) {
			bytes += got;
			want -= (size_t)got;
			continue;
		}
		if (!got && port.ends)
			lost("read", "the host went away");
		/* Nobody is connected at the other end, as after a restored snapshot. */
		nap(10);
	}
}

/* Frames of the host are few: one at a time, never a byte beyond it. */
static const char *receive_frame(struct abx_frame *frame)
{
	const char *problem;

	receive_bytes(receiving, ABX_HEADER_BYTES);
	problem = abx_frame_get(receiving, ABX_HEADER_BYTES, frame);
	if (problem && strcmp(problem, "truncated"))
		return problem;
	receive_bytes(receiving + ABX_HEADER_BYTES, frame->length);
	problem = abx_frame_get(receiving, ABX_HEADER_BYTES + frame->length, frame);
	if (problem)
		return problem;
	return frame->seq == port.host_seq++ ? NULL : "sequence";
}

char *link_receive_plan(size_t *bytes)
{
	static const uint8_t zero[ABX_NONCE_BYTES];
	struct abx_frame frame;
	const char *problem;

	problem = receive_frame(&frame);
	/*
	 * A refusal carries whatever nonce was received: if that was damaged as well, the
	 * host sees a foreign nonce instead of the reason, and an error in both cases.
	 */
	memcpy(port.nonce, receiving + 16, sizeof(port.nonce));
	if (problem)
		refuse_frame(problem);
	if (frame.type != ABX_PLAN)
		refuse_frame("type");
	if (frame.run != ABX_NO_RUN)
		refuse_frame("run");
	if (!memcmp(frame.nonce, zero, sizeof(zero)))
		refuse_frame("nonce");
	*bytes = frame.length;
	return (char *)receiving + ABX_HEADER_BYTES;
}

void link_refuse(const char *reason, unsigned int line)
{
	struct text text = { .used = 0 };

	text_string(&text, "reason", reason);
	text_add(&text, "line=%u\n", line);
	link_send_text(ABX_REFUSE, ABX_NO_RUN, &text);
	link_wait_close();
}

void link_bye(unsigned int runs)
{
	struct text text = { .used = 0 };

	text_add(&text, "runs=%u\n", runs);
	text_add(&text, "frames=%u\n", (unsigned int)port.seq);
	text_add(&text, "digest=%08x\n", (unsigned int)port.digest);
	tell("abimatrix bye\n");
	link_send_text(ABX_BYE, ABX_NO_RUN, &text);
}

/*
 * write() returns when the bytes are queued, and QEMU drops its queue when the machine
 * goes off. There is no call that waits for the queue, so the host says when it has all.
 */
void link_wait_close(void)
{
	uint64_t limit = now_ns() + CLOSE_WAIT_MS * NS_PER_MS;
	struct pollfd readable = { .fd = port.fd, .events = POLLIN };
	size_t have = 0;
	ssize_t got;

	/* Any answer will do: the machine goes off in every case. */
	while (have < ABX_HEADER_BYTES) {
		if (now_ns() >= limit) {
			note("the host did not confirm the end");
			return;
		}
		ssh_tend();
		if (poll(&readable, 1, 1000) < 1)
			continue;
		got = read(port.fd, receiving, ABX_HEADER_BYTES - have);
		if (got <= 0)
			return;
		have += (size_t)got;
	}
}

/*
 * A port's close is a message that the kernel waits for until the host has taken it, and
 * what was queued before it is then taken as well, or is before the machine may go off.
 * That matters where nobody confirms: the CLOSE of a script has come long ago.
 */
void link_shut(void)
{
	if (words_fd >= 0)
		close(words_fd);
	if (!port.ends)
		close(port.fd);
}
