/*
 * hosted_x86_64.c - the few instructions that C has no words for.
 *
 * The stub keeps what the program's ABI for system calls keeps: all registers but %rax, %rcx and
 * %r11, the flags, and every byte of the stack. Its scratch registers are those that the kernel has
 * overwritten anyway.
 */
#include "front/hosted.h"

#include <string.h>
#include <sys/auxv.h>

#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002
#define ARCH_GET_FS 0x1003

#define HWCAP2_FSGSBASE_BIT 2u

#define AT(field, place)                                                                           \
	_Static_assert(offsetof(struct hosted_thread, field) == (place), "the stub knows it")
AT(self, 0);
AT(ret, 8);
AT(again, 16);
AT(nr, 24);
AT(error, 32);
AT(args, 40);

__asm__(".text\n"
	".macro HOSTED name\n"
	".balign 16\n"
	".hidden \\name\n"
	".globl \\name\n"
	"\\name:\n"
	".endm\n"

	"HOSTED hosted_stub\n"
	"	syscall\n"
	".hidden hosted_stub_after\n"
	".globl hosted_stub_after\n"
	"hosted_stub_after:\n"
	"	mov %gs:40, %rdi\n"
	"	mov %gs:48, %rsi\n"
	"	mov %gs:56, %rdx\n"
	"	mov %gs:64, %r10\n"
	"	mov %gs:72, %r8\n"
	"	mov %gs:80, %r9\n"
	"	lea 14(%rax), %rcx\n"
	"	jrcxz hosted_stub_efault\n"
	"	lea 22(%rax), %rcx\n"
	"	jrcxz 1f\n"
	"	jmp *%gs:8\n"
	".hidden hosted_stub_efault\n"
	".globl hosted_stub_efault\n"
	"hosted_stub_efault:\n"
	"	movq $14, %gs:32\n"
	"	jmp 2f\n"
	"1:	movq $22, %gs:32\n"
	"2:	mov %gs:24, %rax\n"
	"	jmp *%gs:16\n"
	".hidden hosted_stub_end\n"
	".globl hosted_stub_end\n"
	"hosted_stub_end:\n"

	"HOSTED hosted_sleep\n"
	"	push %rbx\n"
	"	push %r12\n"
	"	push %r13\n"
	"	mov %rdi, %rbx\n"
	"	mov %rsi, %r12\n"
	"	mov %rcx, %r13\n"
	"	mov %rdx, %rsi\n"
	"	mov $2, %edi\n"
	"	xor %edx, %edx\n"
	"	mov $8, %r10d\n"
	"	mov $14, %eax\n"
	"	syscall\n"
	".hidden hosted_sleep_open\n"
	".globl hosted_sleep_open\n"
	"hosted_sleep_open:\n"
	"	mov %rbx, %rax\n"
	"	mov 0(%r12), %rdi\n"
	"	mov 8(%r12), %rsi\n"
	"	mov 16(%r12), %rdx\n"
	"	mov 24(%r12), %r10\n"
	"	mov 32(%r12), %r8\n"
	"	mov 40(%r12), %r9\n"
	".hidden hosted_sleep_call\n"
	".globl hosted_sleep_call\n"
	"hosted_sleep_call:\n"
	"	syscall\n"
	".hidden hosted_sleep_done\n"
	".globl hosted_sleep_done\n"
	"hosted_sleep_done:\n"
	"	mov %rax, %rbx\n"
	"	mov $2, %edi\n"
	"	mov %r13, %rsi\n"
	"	xor %edx, %edx\n"
	"	mov $8, %r10d\n"
	"	mov $14, %eax\n"
	"	syscall\n"
	"	mov %rbx, %rax\n"
	"	pop %r13\n"
	"	pop %r12\n"
	"	pop %rbx\n"
	"	ret\n"

	"HOSTED hosted_clone\n"
	"	mov $56, %eax\n"
	"	jmp 1f\n"
	"HOSTED hosted_clone3\n"
	"	mov $435, %eax\n"
	"1:	mov %rcx, %r10\n"
	"	syscall\n"
	"	test %rax, %rax\n"
	"	jz 2f\n"
	"	ret\n"
	"2:	xor %ebp, %ebp\n"
	"	and $-16, %rsp\n"
	"	mov %r9, %rdi\n"
	"	call hosted_thread_begin\n"
	"	hlt\n"

	"HOSTED hosted_sigreturn\n"
	"	lea 8(%rdi), %rsp\n"
	"	mov $15, %eax\n"
	"	syscall\n"
	"	hlt\n"

	"HOSTED hosted_enter\n"
	"	mov %rsi, %rsp\n"
	"	push %rdi\n"
	"	xor %eax, %eax\n"
	"	xor %ebx, %ebx\n"
	"	xor %ecx, %ecx\n"
	"	xor %edx, %edx\n"
	"	xor %esi, %esi\n"
	"	xor %edi, %edi\n"
	"	xor %ebp, %ebp\n"
	"	xor %r8d, %r8d\n"
	"	xor %r9d, %r9d\n"
	"	xor %r10d, %r10d\n"
	"	xor %r11d, %r11d\n"
	"	xor %r12d, %r12d\n"
	"	xor %r13d, %r13d\n"
	"	xor %r14d, %r14d\n"
	"	xor %r15d, %r15d\n"
	"	ret\n"
	".purgem HOSTED\n");

static bool have_fsgsbase;

void hosted_cpu_init(void)
{
	have_fsgsbase = getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT;
}

uint64_t hosted_get_fs(void)
{
	uint64_t base = 0;

	if (have_fsgsbase)
		__asm__ volatile("rdfsbase %0" : "=r"(base));
	else
		SYS(SYS_arch_prctl, ARCH_GET_FS, &base);
	return base;
}

void hosted_set_fs(uint64_t base)
{
	if (have_fsgsbase)
		__asm__ volatile("wrfsbase %0" ::"r"(base) : "memory");
	else
		SYS(SYS_arch_prctl, ARCH_SET_FS, base);
}

void hosted_set_gs(const void *base)
{
	if (have_fsgsbase)
		__asm__ volatile("wrgsbase %0" ::"r"(base) : "memory");
	else
		SYS(SYS_arch_prctl, ARCH_SET_GS, base);
}

bool hosted_cpu_makes_calls(const void *text, size_t len)
{
	static const unsigned char call[] = {0x0f, 0x05};

	return memmem(text, len, call, sizeof(call)) != NULL;
}
