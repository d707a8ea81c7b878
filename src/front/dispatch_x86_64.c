/*
 * dispatch_x86_64.c - system calls that the handler of SIGSYS cannot make: the thread comes here
 * instead, with all that it had in its registers, and goes on behind its own instruction.
 */
#include "front/dispatch.h"
#include "front/gate.h"
#include "front/sys.h"

__thread uint64_t dispatch_return __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* Called below. */
long dispatch_gate(long nr, const long a[6]) __attribute__((visibility("hidden")));
long dispatch_gate(long nr, const long a[6])
{
	if (nr == SYS_exit)
		host_altstack_leave();
	return gate_call(nr, a);
}

void dispatch_new_thread(void) __attribute__((visibility("hidden")));
void dispatch_new_thread(void)
{
	dispatch_clone_child();
	host_altstack_enter();
}

/*
 * Registers but %rax, %rcx, %r11, and the flags, are kept, and the 128 bytes below the stack. A
 * child's stack has the return address
 * on top; %rcx, which the kernel has overwritten, carries what must not touch the flags.
 */
__asm__(".text\n"
	".balign 16\n"
	".hidden dispatch_pass\n"
	".globl dispatch_pass\n"
	"dispatch_pass:\n"
	"	syscall\n"
	"	ret $128\n"

	".balign 16\n"
	".hidden dispatch_on_stack\n"
	".globl dispatch_on_stack\n"
	"dispatch_on_stack:\n"
	"	lea -128(%rsp), %rsp\n"
	"	mov dispatch_return@gottpoff(%rip), %rcx\n"
	"	push %fs:(%rcx)\n"
	"	pushf\n"
	"	cld\n"
	"	push %rbp\n"
	"	push %rdi\n"
	"	push %rsi\n"
	"	push %rdx\n"
	"	push %r10\n"
	"	push %r8\n"
	"	push %r9\n"
	"	mov %rsp, %rbp\n"
	"	sub $576, %rsp\n"
	"	and $-16, %rsp\n"
	"	fxsave64 64(%rsp)\n"
	"	mov %rdi, 0(%rsp)\n"
	"	mov %rsi, 8(%rsp)\n"
	"	mov %rdx, 16(%rsp)\n"
	"	mov %r10, 24(%rsp)\n"
	"	mov %r8, 32(%rsp)\n"
	"	mov %r9, 40(%rsp)\n"
	"	mov %rax, %rdi\n"
	"	mov %rsp, %rsi\n"
	"	call dispatch_gate\n"
	"	fxrstor64 64(%rsp)\n"
	"	mov %rbp, %rsp\n"
	"	pop %r9\n"
	"	pop %r8\n"
	"	pop %r10\n"
	"	pop %rdx\n"
	"	pop %rsi\n"
	"	pop %rdi\n"
	"	pop %rbp\n"
	"	popf\n"
	"	ret $128\n"

	".balign 16\n"
	".hidden dispatch_clone\n"
	".globl dispatch_clone\n"
	"dispatch_clone:\n"
	"	syscall\n"
	"	lea 8(%rsi), %rsi\n"
	"	mov %rax, %rcx\n"
	"	jrcxz 1f\n"
	"	mov dispatch_return@gottpoff(%rip), %rcx\n"
	"	jmp *%fs:(%rcx)\n"
	"1:	pushf\n"
	"	cld\n"
	"	push %rbx\n"
	"	push %rdi\n"
	"	push %rsi\n"
	"	push %rdx\n"
	"	push %r10\n"
	"	push %r8\n"
	"	push %r9\n"
	"	mov %rsp, %rbx\n"
	"	sub $512, %rsp\n"
	"	and $-16, %rsp\n"
	"	fxsave64 (%rsp)\n"
	"	call dispatch_new_thread\n"
	"	fxrstor64 (%rsp)\n"
	"	mov %rbx, %rsp\n"
	"	pop %r9\n"
	"	pop %r8\n"
	"	pop %r10\n"
	"	pop %rdx\n"
	"	pop %rsi\n"
	"	pop %rdi\n"
	"	pop %rbx\n"
	"	popf\n"
	"	mov $0, %eax\n"
	"	ret\n");
