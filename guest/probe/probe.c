// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asks one door of the kernel about one number: is a system call behind it or not?
 *
 *	probe door=m64|m32|mx32 nr=N expect=enosys|wired
 *
 * A binary knows the door of its own ABI only, so it is built three times; being told
 * another door is an error, so that a mix-up of binaries cannot look like an answer.
 * Prints KTAP 1. Exits with 0 if all is as expected, 1 if not, 2 for a wrong command line.
 *
 * expect=enosys asks three times. A number without a call gives -ENOSYS before anything
 * looks at the arguments, a call that is there but does not like them rarely does so for all.
 *
 * expect=wired asks once, with six times -1: a bad pointer, a bad descriptor, unknown flags,
 * an impossible size. Nearly every call refuses that first thing, and one that does not
 * cannot be known here. So this belongs last into a machine that is thrown away.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && defined(__ILP32__)
#define DOOR	"mx32"
#define BASE	0x40000000u	/* __X32_SYSCALL_BIT: the same instruction, this bit set */
#elif defined(__x86_64__)
#define DOOR	"m64"
#define BASE	0u
#elif defined(__i386__)
#define DOOR	"m32"
#define BASE	0u
#else
#error "no door known for this architecture"
#endif

/* Above this, bit 30 of the number would name another door. */
#define NR_MAX	0x3fffffffu

/* As wide as the registers of the door, whatever the size of a long. */
#ifdef __x86_64__
typedef uint64_t word;
typedef int64_t result;
#else
typedef uint32_t word;
typedef int32_t result;
#endif

#ifdef __x86_64__
static result enter(uint32_t nr, const word a[6])
{
	register word r10 __asm__("r10") = a[3];
	register word r8 __asm__("r8") = a[4];
	register word r9 __asm__("r9") = a[5];
	result got;

	__asm__ volatile("syscall"
			 : "=a"(got)
			 : "0"((word)(nr | BASE)), "D"(a[0]), "S"(a[1]), "d"(a[2]),
			   "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return got;
}
#else
/* The sixth argument goes into ebp, which no constraint can name. */
result enter(uint32_t nr, const word a[6]);
__asm__(".text\n"
	".globl enter\n"
	".type enter, @function\n"
	"enter:\n"
	"	pushl %ebp\n"
	"	pushl %ebx\n"
	"	pushl %esi\n"
	"	pushl %edi\n"
	"	movl 20(%esp), %eax\n"
	"	movl 24(%esp), %ebp\n"
	"	movl (%ebp), %ebx\n"
	"	movl 4(%ebp), %ecx\n"
	"	movl 8(%ebp), %edx\n"
	"	movl 12(%ebp), %esi\n"
	"	movl 16(%ebp), %edi\n"
	"	movl 20(%ebp), %ebp\n"
	"	int $0x80\n"
	"	popl %edi\n"
	"	popl %esi\n"
	"	popl %ebx\n"
	"	popl %ebp\n"
	"	ret\n"
	".size enter, .-enter\n");
#endif

struct pattern {
	const char *name;
	word args[6];
};

#define ALL(x)	{ (word)(x), (word)(x), (word)(x), (word)(x), (word)(x), (word)(x) }

static const struct pattern patterns[] = {
	{ "all arguments 0", ALL(0) },
	{ "all arguments -1", ALL(-1) },
	/* Small descriptors, sizes and flags: what a real call would be likely to accept. */
	{ "arguments like flags", { 1, 0x1000, 0x80000, 8, 2, 1 } },
};

static void print_result(result got)
{
	if (got < 0 && got >= -4095)
		printf("# returned %lld (%s)\n", (long long)got, strerror((int)-got));
	else
		printf("# returned %lld (0x%llx)\n", (long long)got,
		       (unsigned long long)(word)got);
}

static bool expect_enosys(uint32_t nr)
{
	const unsigned int cases = sizeof(patterns) / sizeof(patterns[0]);
	bool good = true;
	unsigned int i;

	printf("1..%u\n", cases);
	for (i = 0; i < cases; i++) {
		result got;
		bool ok;

		/* What is printed must be out, should the call not come back. */
		fflush(stdout);
		got = enter(nr, patterns[i].args);
		ok = got == -ENOSYS;
		if (!ok)
			print_result(got);
		/* Without the door's name: the cases of the ABIs are compared by theirs. */
		printf("%s %u number %u gives -ENOSYS, %s\n",
		       ok ? "ok" : "not ok", i + 1, (unsigned int)nr,
		       patterns[i].name);
		good &= ok;
	}
	return good;
}

static bool expect_wired(uint32_t nr)
{
	static const word args[6] = ALL(-1);
	result got;
	bool ok;

	printf("1..1\n");
	fflush(stdout);
	got = enter(nr, args);
	ok = got != -ENOSYS;
	print_result(got);
	printf("%s 1 number %u is wired\n", ok ? "ok" : "not ok",
	       (unsigned int)nr);
	return ok;
}

static int usage(const char *what)
{
	fprintf(stderr, "probe: %s\n"
		"usage: probe door=" DOOR " nr=N expect=enosys|wired\n", what);
	return 2;
}

int main(int argc, char **argv)
{
	unsigned long nr;
	bool good;
	char *end;

	if (argc != 4)
		return usage("three arguments, in this order");
	if (strcmp(argv[1], "door=" DOOR))
		return usage("this binary was built for the " DOOR " door");
	if (strncmp(argv[2], "nr=", 3) || argv[2][3] < '0' || argv[2][3] > '9')
		return usage("bad number");
	errno = 0;
	nr = strtoul(argv[2] + 3, &end, 10);
	if (errno || *end || nr > NR_MAX)
		return usage("bad number");

	if (!strcmp(argv[3], "expect=enosys")) {
		puts("KTAP version 1");
		good = expect_enosys((uint32_t)nr);
	} else if (!strcmp(argv[3], "expect=wired")) {
		puts("KTAP version 1");
		good = expect_wired((uint32_t)nr);
	} else {
		return usage("bad expectation");
	}
	if (fflush(stdout))
		return 1;
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
