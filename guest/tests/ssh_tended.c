// SPDX-License-Identifier: GPL-2.0-only
/* What carries the connection goes on, whoever has stopped it; one that nobody hears is told. */
#include "../agent/ssh.c"

#include <stdarg.h>
#include <stdlib.h>

bool read_line(const char *path, char *line, size_t size)
{
	(void)path, (void)line, (void)size;
	return false;
}

bool has_word(const char *line, const char *word)
{
	(void)line, (void)word;
	return false;
}

void note(const char *format, ...)
{
	(void)format;
}

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	exit(1);
}

uint64_t now_ns(void)
{
	return 0;
}

void nap(uint32_t ms)
{
	(void)ms;
}

void reset_signals(void)
{
}

/* A child that is stopped. */
static pid_t stopped(void)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		raise(SIGSTOP);
		for (;;)
			pause();
	}
	if (pid < 0 || waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status))
		die("no child that is stopped\n");
	return pid;
}

static bool goes_on(pid_t pid)
{
	int status;

	return waitpid(pid, &status, WCONTINUED | WNOHANG) == pid && WIFCONTINUED(status);
}

/* As Linux writes them. */
static bool reads_tcp(void)
{
	static const char format[] =
		"   1: 0F02000A:%04X 0202000A:D3F2 %02X 00000054:00000000 04:00000060 %08X     0        %u 94 2 x";
	static const struct {
		unsigned int port, state, sent, probed;
		bool unheard;
	} lines[] = {
		{ 22, 1, 5, 0, true },
		{ 22, 1, 0, 5, true },
		{ 22, 1, 4, 4, false },
		{ 22, 10, 5, 5, false },
		{ 23, 1, 5, 5, false },
	};
	char line[200];
	size_t i;

	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		snprintf(line, sizeof(line), format, lines[i].port, lines[i].state, lines[i].sent,
			 lines[i].probed);
		if (is_unheard(line) != lines[i].unheard)
			return false;
	}
	return !is_unheard("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt");
}

int main(void)
{
	pid_t all[4];
	int i, good;

	for (i = 0; i < 4; i++)
		all[i] = stopped();
	keeper = all[0];
	sshd = all[1];
	/* Before there is a session there is nobody whose work it would be. */
	ssh_tend();
	good = !goes_on(all[0]) && !goes_on(all[1]);
	relay = all[2];
	ssh_tend();
	good = good && goes_on(all[0]) && goes_on(all[1]) && goes_on(all[2]);
	good = good && !goes_on(all[3]) && reads_tcp();
	for (i = 0; i < 4; i++)
		kill(all[i], SIGKILL);
	puts(good ? "they go on" : "somebody is stopped, goes on who was not to, or is heard wrongly");
	return !good;
}
