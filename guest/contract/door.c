// SPDX-License-Identifier: GPL-2.0-only
/* The ways into the kernel, without a libc in between. */
#include "contract.h"

/*
 * Functions of their own, not inline: all registers that a caller wants kept are on the stack, and
 * nothing lies below it (red zone). The labels are where a signal handler finds a thread that
 * waits (restarted: before the instruction, interrupted: after it).
 */
int64_t enter_syscall(uint64_t number, const uint64_t args[ARGS]);
int64_t enter_int80(uint64_t number, const uint64_t args[ARGS]);
extern const char door_syscall[], door_syscall_end[], door_int80[], door_int80_end[];

#ifdef __x86_64__

#ifdef __ILP32__
#define OWN_BIT		0x40000000u	/* __X32_SYSCALL_BIT */
#define ARGS_TO_R11	"	movl %esi, %r11d\n"
#else
#define OWN_BIT		0u
#define ARGS_TO_R11	"	movq %rsi, %r11\n"
#endif

__asm__(".text\n"
	".globl enter_syscall, door_syscall, door_syscall_end\n"
	".type enter_syscall, @function\n"
	"enter_syscall:\n"
	"	movq %rdi, %rax\n"
	ARGS_TO_R11
	"	movq (%r11), %rdi\n"
	"	movq 8(%r11), %rsi\n"
	"	movq 16(%r11), %rdx\n"
	"	movq 24(%r11), %r10\n"
	"	movq 32(%r11), %r8\n"
	"	movq 40(%r11), %r9\n"
	"door_syscall:\n"
	"	syscall\n"
	"door_syscall_end:\n"
	"	ret\n"
	".size enter_syscall, .-enter_syscall\n"
	".globl enter_int80, door_int80, door_int80_end\n"
	".type enter_int80, @function\n"
	"enter_int80:\n"
	"	pushq %rbx\n"
	"	pushq %rbp\n"
	"	movq %rdi, %rax\n"
	ARGS_TO_R11
	"	movq (%r11), %rbx\n"
	"	movq 8(%r11), %rcx\n"
	"	movq 16(%r11), %rdx\n"
	"	movq 24(%r11), %rsi\n"
	"	movq 32(%r11), %rdi\n"
	"	movq 40(%r11), %rbp\n"
	"door_int80:\n"
	"	int $0x80\n"
	"door_int80_end:\n"
	"	movslq %eax, %rax\n"
	"	popq %rbp\n"
	"	popq %rbx\n"
	"	ret\n"
	".size enter_int80, .-enter_int80\n");

#else

__asm__(".text\n"
	".globl enter_int80, door_int80, door_int80_end\n"
	".type enter_int80, @function\n"
	"enter_int80:\n"
	"	pushl %ebp\n"
	"	pushl %ebx\n"
	"	pushl %esi\n"
	"	pushl %edi\n"
	"	movl 20(%esp), %eax\n"	/* the number is 64 bits wide, the pointer behind it */
	"	movl 28(%esp), %ebp\n"
	"	movl (%ebp), %ebx\n"
	"	movl 8(%ebp), %ecx\n"
	"	movl 16(%ebp), %edx\n"
	"	movl 24(%ebp), %esi\n"
	"	movl 32(%ebp), %edi\n"
	"	movl 40(%ebp), %ebp\n"
	"door_int80:\n"
	"	int $0x80\n"
	"door_int80_end:\n"
	"	cltd\n"			/* the result is 64 bits wide, too */
	"	popl %edi\n"
	"	popl %esi\n"
	"	popl %ebx\n"
	"	popl %ebp\n"
	"	ret\n"
	".size enter_int80, .-enter_int80\n");

#endif

int64_t enter(enum door door, uint32_t number, const uint64_t args[ARGS])
{
#ifdef __x86_64__
	uint64_t dirty[ARGS];
	int i;

	switch (door) {
	case DOOR_OWN:
		return enter_syscall(number | OWN_BIT, args);
	case DOOR_X32:
		return enter_syscall(number | 0x40000000u, args);
	case DOOR_X64:
		return enter_syscall(number, args);
	case DOOR_I386:
		break;
	}
	for (i = 0; i < ARGS; i++)
		dirty[i] = 0xdeadbeefULL << 32 | (uint32_t)args[i];
	return enter_int80(number, dirty);
#else
	(void)door;	/* there is one */
	return enter_int80(number, args);
#endif
}

bool at_door(uint64_t instruction)
{
#ifdef __x86_64__
	if (instruction >= (uintptr_t)door_syscall && instruction <= (uintptr_t)door_syscall_end)
		return true;
#endif
	return instruction >= (uintptr_t)door_int80 && instruction <= (uintptr_t)door_int80_end;
}
