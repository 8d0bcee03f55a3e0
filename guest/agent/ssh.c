// SPDX-License-Identifier: GPL-2.0-only
/*
 * The way in of a guest without a result port: a network card, one connection on port 22, and
 * dropbear, whose one command is the relay between its session and us.
 *
 * We listen ourselves and hand the connection to dropbear as an inetd would. So there is no
 * listener that outlives its use: once the relay is here, three processes carry the connection, and
 * all are known.
 */
#include "agent.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "relay.h"

#define SSH_WORD	"abimatrix.transport=ssh"
#define CARD		"eth0"
/* What QEMU's user network expects: nobody else is there. */
#define ADDRESS		"10.0.2.15"
#define LOG_SOCKET	"/dev/log"
#define NETMASK		"255.255.255.0"
#define SSH_PORT	22
#define LOOK_EVERY_MS	1000

static pid_t keeper, sshd, relay;

/* What dropbear said last: as an inetd's program it talks to syslog alone. */
static char words[256] = "it said nothing";

bool ssh_wanted(void)
{
	char line[4096];

	return read_line("/proc/cmdline", line, sizeof(line)) && has_word(line, SSH_WORD);
}

bool ssh_serves(void)
{
	return relay > 0;
}

bool ssh_is_part(pid_t pid)
{
	return pid > 0 && (pid == keeper || pid == sshd || pid == relay);
}

/*
 * Whether a line of /proc/net/tcp is about our connection, and nobody hears what it sends: again and
 * again by a card that loses it (retrnsmt), or not at all, without a card (timeout, which counts probes).
 */
static bool is_unheard(const char *line)
{
	unsigned int port, state, sent, probed;

	return sscanf(line, " %*u: %*x:%x %*x:%*x %x %*x:%*x %*x:%*x %x %*u %u", &port, &state,
		      &sent, &probed) == 4 &&
	       port == SSH_PORT && state == TCP_ESTABLISHED &&
	       (sent >= UNHEARD_TRIES || probed >= UNHEARD_TRIES);
}

/* A kernel that does not tell is none that says so. */
static bool is_cut_off(void)
{
	char bytes[4096], line[256];
	int fd = open("/proc/net/tcp", O_RDONLY | O_CLOEXEC);
	bool unheard = false;
	unsigned int reads;
	size_t used = 0;
	ssize_t got, i;

	/* Of a program with thousands of connections the first ones will do. */
	for (reads = 0; fd >= 0 && reads < 64 && !unheard; reads++) {
		got = read(fd, bytes, sizeof(bytes));
		if (got <= 0)
			break;
		for (i = 0; i < got; i++) {
			if (bytes[i] != '\n') {
				if (used < sizeof(line) - 1)
					line[used++] = bytes[i];
				continue;
			}
			line[used] = '\0';
			used = 0;
			unheard |= is_unheard(line);
		}
	}
	if (fd >= 0)
		close(fd);
	return unheard;
}

void ssh_go_on(void)
{
	pid_t parts[] = { keeper, sshd, relay };
	size_t i;

	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (parts[i] > 0)
			kill(parts[i], SIGCONT);
}

/*
 * A program under test is root. A kill(-1, SIGSTOP) of its stops our connection, and who is continued
 * does not notice; a card that it takes down is gone. Either would be silent as a guest that hangs.
 */
void ssh_tend(void)
{
	static uint64_t next_look;

	if (!ssh_serves())
		return;
	ssh_go_on();
	if (now_ns() <= next_look)
		return;
	next_look = now_ns() + LOOK_EVERY_MS * NS_PER_MS;
	if (is_cut_off())
		die("connection: what is sent is not heard: is the network down?");
}

static void set_address(int fd, unsigned long what, const char *address)
{
	struct ifreq card = { .ifr_name = CARD };
	struct sockaddr_in in = { .sin_family = AF_INET };

	inet_pton(AF_INET, address, &in.sin_addr);
	memcpy(&card.ifr_addr, &in, sizeof(in));
	if (ioctl(fd, what, &card))
		die("no network: cannot give " CARD " the address %s: %s", address,
		    strerror(errno));
}

static void bring_up_card(void)
{
	uint64_t limit = now_ns() + CARD_WAIT_MS * NS_PER_MS;
	struct ifreq card = { .ifr_name = CARD };
	int fd;

	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("no network: the kernel has none: %s", strerror(errno));
	while (ioctl(fd, SIOCGIFFLAGS, &card)) {
		if (now_ns() >= limit)
			die("no network: there is no card " CARD
			    ": has the kernel a driver for it (CONFIG_VIRTIO_NET)?");
		nap(1);
	}
	set_address(fd, SIOCSIFADDR, ADDRESS);
	set_address(fd, SIOCSIFNETMASK, NETMASK);
	card.ifr_flags |= IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &card))
		die("no network: cannot bring up " CARD ": %s", strerror(errno));
	close(fd);
}

static int listen_on(const void *address, socklen_t bytes, int type)
{
	sa_family_t family = ((const struct sockaddr *)address)->sa_family;
	int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, address, bytes) || (type == SOCK_STREAM && listen(fd, 8)))
		die("no network: cannot listen: %s", strerror(errno));
	return fd;
}

static int listen_for_ssh(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(SSH_PORT),
	};

	return listen_on(&address, sizeof(address), SOCK_STREAM);
}

static int listen_at(const char *path, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strcpy(address.sun_path, path);
	return listen_on(&address, sizeof(address), type);
}

static void __attribute__((noreturn)) become_sshd(int connection)
{
	static char *argv[] = {
		"/ssh/dropbear", "-i", "-m", "-s", "-g", "-j", "-k", "-z",
		"-r", "/ssh/host_key", NULL,
	};
	static char *environment[] = { NULL };
	/* As PID 1, and unlike it inherited by the relay: a fork bomb must not silence us. */
	struct sched_param first = { .sched_priority = 1 };

	if (dup2(connection, 0) < 0 || dup2(connection, 1) < 0)
		_exit(126);
	sched_setscheduler(0, SCHED_FIFO, &first);
	reset_signals();
	execve(argv[0], argv, environment);
	_exit(127);
}

/*
 * Sshd is a child of a process that is no child like others: no signal tells its end, so that a plain
 * wait does not see it, and PID 1 can still tell when there is nothing left of a program but that.
 * (Whoever calls execve() becomes a child like others; so it takes two.)
 */
static void __attribute__((noreturn)) become_keeper(int connection)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid)
		become_sshd(connection);
	close(connection);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	_exit(pid < 0 ? 126 : WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

static void serve(int listener)
{
	/* Blocking, whatever the listener is. */
	int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (connection < 0)
		return;		/* it went away again */
	keeper = (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
	if (keeper < 0)
		die("sshd: clone: %s", strerror(errno));
	if (!keeper)
		become_keeper(connection);
	close(connection);
}

/* A connection may come to nothing: the host tries again. */
static void look_after_sshd(void)
{
	int status;

	if (keeper <= 0 || waitpid(keeper, &status, WNOHANG | __WALL) != keeper)
		return;
	keeper = 0;
	status = WEXITSTATUS(status);
	if (status > 128)
		die("sshd: killed by signal %d", status - 128);
	if (status >= 126)
		die("sshd: cannot start dropbear");
	note("sshd ended with status %d before there was a session: %s", status, words);
}

static pid_t parent_of(pid_t pid)
{
	char path[64], line[512], *tail;
	int parent;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (!read_line(path, line, sizeof(line)))
		die("sshd: the relay is gone");
	tail = strrchr(line, ')');
	if (!tail || sscanf(tail, ") %*c %d", &parent) != 1)
		die("sshd: cannot tell who started the relay");
	return parent;
}

static void hear(int log)
{
	ssize_t got = recv(log, words, sizeof(words) - 1, MSG_DONTWAIT);

	if (got > 0)
		words[got] = '\0';
}

int ssh_open(void)
{
	uint64_t limit = now_ns() + SSH_WAIT_MS * NS_PER_MS;
	struct pollfd doors[3] = {
		{ .events = POLLIN }, { .events = POLLIN }, { .events = POLLIN },
	};
	struct ucred peer;
	socklen_t bytes = sizeof(peer);
	int fd = -1, tcp;

	bring_up_card();
	tcp = listen_for_ssh();
	doors[1].fd = listen_at(RELAY_SOCKET, SOCK_STREAM);
	doors[2].fd = listen_at(LOG_SOCKET, SOCK_DGRAM);
	note("listens for ssh");
	while (fd < 0) {
		if (now_ns() >= limit)
			die("sshd: no session within %d ms: %s", SSH_WAIT_MS, words);
		/* One at a time: what comes meanwhile waits in the kernel. */
		doors[0].fd = keeper > 0 ? -1 : tcp;
		if (poll(doors, 3, 20) > 0) {
			if (doors[2].revents)
				hear(doors[2].fd);
			if (doors[0].revents)
				serve(tcp);
			if (doors[1].revents)
				fd = accept4(doors[1].fd, NULL, NULL, SOCK_CLOEXEC);
		}
		look_after_sshd();
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes))
		die("sshd: cannot tell the relay: %s", strerror(errno));
	relay = peer.pid;
	sshd = parent_of(relay);
	close(tcp);
	/* Nobody reads the log any more; a full one would hold sshd up. */
	close(doors[1].fd);
	close(doors[2].fd);
	unlink(RELAY_SOCKET);
	unlink(LOG_SOCKET);
	return fd;
}
