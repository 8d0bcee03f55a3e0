// SPDX-License-Identifier: GPL-2.0-only
/*
 * The one command of the guest's sshd: copies bytes between its session and the agent, in both
 * directions, until either goes away. It knows nothing of frames.
 *
 * It is the login shell too, since sshd starts commands by that; whatever it is told, it is the
 * relay.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "relay.h"

/* Passes on what is there; false at an end. */
static bool copy(int from, int to)
{
	static char bytes[65536];
	ssize_t got, sent, done = 0;

	got = read(from, bytes, sizeof(bytes));
	if (got < 0)
		return errno == EINTR || errno == EAGAIN;
	while (done < got) {
		sent = write(to, bytes + done, (size_t)(got - done));
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return false;
		done += sent;
	}
	return got > 0;
}

int main(void)
{
	struct sockaddr_un agent = { .sun_family = AF_UNIX, .sun_path = RELAY_SOCKET };
	struct pollfd ends[2] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = -1, .events = POLLIN },
	};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&agent, sizeof(agent))) {
		perror("relay: the agent is not there");
		return 1;
	}
	ends[1].fd = fd;
	for (;;) {
		if (poll(ends, 2, -1) < 0 && errno != EINTR)
			return 1;
		if (ends[0].revents && !copy(STDIN_FILENO, fd))
			return 0;
		if (ends[1].revents && !copy(fd, STDOUT_FILENO))
			return 0;
	}
}
