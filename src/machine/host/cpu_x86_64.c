/* cpu_x86_64.c - the other half of cpu.h for x86-64. */
#include "machine/host/cpu.h"

#include <cpuid.h>

#define PF_TRAP	   14
#define PF_PRESENT 1u
#define PF_WRITE   2u
#define PF_FETCH   16u
#define PF_KEY	   32u

#define SA_RESTORER_FLAG 0x04000000ull

const uint64_t cpu_sa_flags = SA_RESTORER_FLAG;

static bool steady, have_rdtscp;

/* CLONE_VM, FS, FILES, SIGHAND, VFORK, THREAD, SYSVSEM, UNTRACED: a thread, waited for. */
#define SUSPEND_FLAGS "0x854f00"
/* CLONE_VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, SETTLS, UNTRACED. */
#define THREAD_FLAGS "0x8d0f00"

/*
 * `rep movsb` keeps in %rcx what is left, at any interruption, which is all a fixup needs. The two
 * copies are the same code at two places: the place tells the trap handler what may happen.
 */
__asm__(".text\n"
	".balign 16\n"
	".hidden cpu_copy_nofault\n"
	".globl cpu_copy_nofault\n"
	".type cpu_copy_nofault, @function\n"
	"cpu_copy_nofault:\n"
	"	mov %rdx, %rcx\n"
	".hidden cpu_copy_nofault_pc\n"
	".globl cpu_copy_nofault_pc\n"
	"cpu_copy_nofault_pc:\n"
	"	rep movsb\n"
	"	mov %rcx, %rax\n"
	"	ret\n"
	".size cpu_copy_nofault, .-cpu_copy_nofault\n"
	".balign 16\n"
	".hidden cpu_copy_fault\n"
	".globl cpu_copy_fault\n"
	".type cpu_copy_fault, @function\n"
	"cpu_copy_fault:\n"
	"	mov %rdx, %rcx\n"
	".hidden cpu_copy_fault_pc\n"
	".globl cpu_copy_fault_pc\n"
	"cpu_copy_fault_pc:\n"
	"	rep movsb\n"
	".hidden cpu_copy_out\n"
	".globl cpu_copy_out\n"
	"cpu_copy_out:\n"
	"	mov %rcx, %rax\n"
	"	ret\n"
	".size cpu_copy_fault, .-cpu_copy_fault\n"
	".balign 16\n"
	".hidden cpu_suspend_for\n"
	".globl cpu_suspend_for\n"
	".type cpu_suspend_for, @function\n"
	"cpu_suspend_for:\n"
	"	push %rbx\n"
	"	push %rbp\n"
	"	mov %rdi, %rbx\n"
	"	mov %rsi, %rbp\n"
	"	mov $" SUSPEND_FLAGS ", %edi\n"
	"	xor %esi, %esi\n"
	"	xor %edx, %edx\n"
	"	xor %r10d, %r10d\n"
	"	xor %r8d, %r8d\n"
	"	mov $56, %eax\n"
	"	syscall\n"
	"	test %rax, %rax\n"
	"	jz 1f\n"
	"	pop %rbp\n"
	"	pop %rbx\n"
	"	ret\n"
	"1:	mov %rbp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call *%rbx\n"
	"	mov $60, %eax\n"
	"	xor %edi, %edi\n"
	"	syscall\n"
	"	hlt\n"
	".size cpu_suspend_for, .-cpu_suspend_for\n"
	".balign 16\n"
	".hidden cpu_start_thread\n"
	".globl cpu_start_thread\n"
	".type cpu_start_thread, @function\n"
	"cpu_start_thread:\n"
	"	mov %rcx, %r8\n"
	"	and $-16, %rdx\n"
	"	sub $16, %rdx\n"
	"	mov %rdi, (%rdx)\n"
	"	mov %rsi, 8(%rdx)\n"
	"	mov $" THREAD_FLAGS ", %edi\n"
	"	mov %rdx, %rsi\n"
	"	xor %edx, %edx\n"
	"	xor %r10d, %r10d\n"
	"	mov $56, %eax\n"
	"	syscall\n"
	"	test %rax, %rax\n"
	"	jz 1f\n"
	"	ret\n"
	"1:	xor %ebp, %ebp\n"
	"	pop %rax\n"
	"	pop %rdi\n"
	"	call *%rax\n"
	"	hlt\n"
	".size cpu_start_thread, .-cpu_start_thread\n"
	".balign 16\n"
	".hidden cpu_sigreturn\n"
	".globl cpu_sigreturn\n"
	".type cpu_sigreturn, @function\n"
	"cpu_sigreturn:\n"
	"	mov $15, %eax\n"
	"	syscall\n"
	".size cpu_sigreturn, .-cpu_sigreturn\n");

extern char cpu_copy_nofault_pc[] __attribute__((visibility("hidden")));
extern char cpu_copy_fault_pc[] __attribute__((visibility("hidden")));
extern char cpu_copy_out[] __attribute__((visibility("hidden")));

void cpu_init(void)
{
	uint32_t a, b, c, d;

	if (__get_cpuid(0x80000001, &a, &b, &c, &d))
		have_rdtscp = d & (1u << 27);
	if (__get_cpuid(0x80000007, &a, &b, &c, &d))
		steady = d & (1u << 8);
}

bool cpu_ticks_steady(void)
{
	return steady;
}

/* Linux keeps the CPU's number in the low 12 bits of TSC_AUX. */
uint32_t cpu_current(void)
{
	uint32_t lo, hi, aux;

	if (!have_rdtscp)
		return CPU_UNKNOWN;
	__asm__ volatile("rdtscp" : "=a"(lo), "=d"(hi), "=c"(aux));
	return aux & 0xfff;
}

enum cpu_copy_kind cpu_copy_at(const ucontext_t *uc)
{
	const char *pc = (const char *)uc->uc_mcontext.gregs[REG_RIP];

	if (pc == cpu_copy_nofault_pc)
		return CPU_COPY_NOFAULT;
	if (pc == cpu_copy_fault_pc)
		return CPU_COPY_FAULT;
	return CPU_COPY_NONE;
}

void cpu_copy_abort(ucontext_t *uc)
{
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)cpu_copy_out;
}

uint64_t cpu_program_counter(const ucontext_t *uc)
{
	return (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
}

bool cpu_page_fault(const ucontext_t *uc, const siginfo_t *info, struct cpu_fault *fault)
{
	const greg_t *regs = uc->uc_mcontext.gregs;
	uint64_t err = (uint64_t)regs[REG_ERR];

	if (info->si_code <= 0 || info->si_code == SI_KERNEL || regs[REG_TRAPNO] != PF_TRAP)
		return false;
	fault->addr = (uint64_t)info->si_addr;
	fault->write = err & PF_WRITE;
	fault->exec = err & PF_FETCH;
	fault->key = err & PF_KEY;
	return true;
}
