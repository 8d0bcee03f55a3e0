// SPDX-License-Identifier: GPL-2.0-only
/* The world a program expects to find (file systems, loopback), and what it looks like. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

bool read_line(const char *path, char *line, size_t size)
{
	ssize_t got;
	int fd, error;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	got = read(fd, line, size - 1);
	error = errno;
	close(fd);
	errno = error;
	if (got < 0)
		return false;
	line[got] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return true;
}

#ifndef ABX_HOST_TEST
struct file_system {
	const char *type;
	const char *where;
	const char *options;
	bool needed;		/* the agent itself cannot do without */
};

static const struct file_system file_systems[] = {
	{ "proc", "/proc", NULL, true },
	{ "sysfs", "/sys", NULL, true },
	{ "devtmpfs", "/dev", "mode=755", true },
	{ "devpts", "/dev/pts", "mode=620,ptmxmode=666", false },
	{ "tmpfs", "/dev/shm", "mode=1777", false },
	{ "mqueue", "/dev/mqueue", NULL, false },
	{ "tmpfs", "/tmp", "mode=1777", false },
	{ "tmpfs", "/run", "mode=755", false },
	{ "securityfs", "/sys/kernel/security", NULL, false },
	{ "debugfs", "/sys/kernel/debug", NULL, false },
	{ "tracefs", "/sys/kernel/tracing", NULL, false },
	{ "cgroup2", "/sys/fs/cgroup", NULL, false },
};

static void mount_all(void)
{
	char missing[256] = "";
	size_t i, used;

	for (i = 0; i < sizeof(file_systems) / sizeof(file_systems[0]); i++) {
		const struct file_system *fs = &file_systems[i];

		/* The kernel makes its own mount points in /sys; there this fails. */
		(void)mkdir(fs->where, 0755);
		if (!mount(fs->type, fs->where, fs->type, MS_NOSUID, fs->options) ||
		    errno == EBUSY)
			continue;
		if (fs->needed)
			die("cannot mount %s on %s: %s", fs->type, fs->where,
			    strerror(errno));
		used = strlen(missing);
		snprintf(missing + used, sizeof(missing) - used, " %s", fs->where);
	}
	if (missing[0])
		note("not mounted:%s", missing);
}

/* What elsewhere udev makes: the kernel itself names a script by /dev/fd when it is run by execveat(2). */
static void link_standard_fds(void)
{
	if ((symlink("/proc/self/fd", "/dev/fd") && errno != EEXIST) ||
	    (symlink("fd/0", "/dev/stdin") && errno != EEXIST) ||
	    (symlink("fd/1", "/dev/stdout") && errno != EEXIST) ||
	    (symlink("fd/2", "/dev/stderr") && errno != EEXIST))
		note("no /dev/fd: %s", strerror(errno));
}

/* An initramfs without /dev/console starts us with 0, 1 and 2 closed: pipes would land there. */
static void fill_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/console", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (fd < 0)
			die("neither /dev/console nor /dev/null: %s", strerror(errno));
	} while (fd <= STDERR_FILENO);
	close(fd);
}

static void bring_up_loopback(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	int fd;

	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;		/* a kernel without network: nothing to bring up */
	if (!ioctl(fd, SIOCGIFFLAGS, &request)) {
		request.ifr_flags |= IFF_UP | IFF_RUNNING;
		if (ioctl(fd, SIOCSIFFLAGS, &request))
			note("cannot bring up lo: %s", strerror(errno));
	}
	close(fd);
}

/*
 * When memory runs out the program under test is to be killed, not the one who reports
 * it (which would be a panic). Programs get +500 in their own fork.
 */
static void stay_out_of_oom(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "-1000", 5) != 5)
		note("cannot set oom_score_adj: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}
#endif

void setup_world(void)
{
#ifndef ABX_HOST_TEST
	umask(022);
	mount_all();
	link_standard_fds();
	fill_standard_fds();
	reboot(RB_DISABLE_CAD);
	stay_out_of_oom();
	bring_up_loopback();
	open_leaks();
#endif
}

bool has_word(const char *line, const char *word)
{
	size_t bytes = strlen(word);
	const char *at = line;

	while ((at = strstr(at, word))) {
		if (at > line && at[-1] == ' ' &&
		    (at[bytes] == ' ' || at[bytes] == '\n' || !at[bytes]))
			return true;
		at += bytes;
	}
	return false;
}

static void describe_cpu(bool *smap, bool *smep)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char *line = NULL;
	size_t size = 0;

	*smap = *smep = false;
	if (!file)
		return;
	while (getline(&line, &size, file) > 0) {
		if (strncmp(line, "flags", 5))
			continue;
		*smap = has_word(line, "smap");
		*smep = has_word(line, "smep");
		break;
	}
	free(line);
	fclose(file);
}

void describe_machine(struct text *text)
{
	struct utsname name;
	struct sysinfo info;
	char boot_id[64];
	bool smap, smep;
	long cpus;

	if (uname(&name) || sysinfo(&info))
		die("cannot ask the kernel who it is: %s", strerror(errno));
	if (!read_line("/proc/sys/kernel/random/boot_id", boot_id, sizeof(boot_id)))
		die("cannot read boot_id: %s", strerror(errno));
	describe_cpu(&smap, &smep);
	cpus = sysconf(_SC_NPROCESSORS_ONLN);

	text_add(text, "agent=1\n");
	text_string(text, "machine", name.machine);
	text_string(text, "release", name.release);
	text_string(text, "version", name.version);
	text_string(text, "boot_id", boot_id);
	text_add(text, "tainted=%llu\n", (unsigned long long)read_tainted());
	text_add(text, "cpus=%ld\n", cpus < 1 ? 1 : cpus);
	text_add(text, "smap=%d\n", smap);
	text_add(text, "smep=%d\n", smep);
	text_add(text, "mem_kb=%llu\n",
		 (unsigned long long)info.totalram * info.mem_unit / 1024);
}
