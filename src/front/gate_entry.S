/*
 * gate_entry.S - the way in from a place where libc would make a system call.
 *
 * A system call leaves every register alone but rax, rcx and r11, the vector registers included,
 * and the memory below the stack pointer. So does this.
 *
 * gate_entry is jumped to with the registers of the system call, and in rcx where it ends: behind a
 * `syscall`. When gate_quick says that the call is none of our business, that instruction is gone
 * back to, so that the call, its signals and its cancellation are where they always were.
 */
#if defined(__x86_64__)

#define SLOT_AREA (640 * 64)

/* Frame, from rbp: 8 rcx, 0 rbp, then downwards r9 r8 r10 rdx rsi rdi (from rdi up the arguments). */
#define SAVED_RCX 8
#define ARGS	  -48
#define NUMBER	  -56
#define RED_ZONE  128

	.hidden gate_quick
	.hidden gate_site
	.hidden gate_vectors

	.text
	.balign 16
	.hidden gate_entry
	.globl gate_entry
	.type gate_entry, @function
gate_entry:
	.cfi_startproc
	.cfi_def_cfa %rsp, 0
	.cfi_register %rip, %rcx
	lea -RED_ZONE(%rsp), %rsp
	.cfi_adjust_cfa_offset RED_ZONE
	push %rcx
	.cfi_adjust_cfa_offset 8
	.cfi_offset %rip, -(RED_ZONE + 8)
	push %rbp
	.cfi_adjust_cfa_offset 8
	.cfi_offset %rbp, -(RED_ZONE + 16)
	mov %rsp, %rbp
	.cfi_def_cfa_register %rbp
	push %r9
	push %r8
	push %r10
	push %rdx
	push %rsi
	push %rdi
	push %rax
	and $-16, %rsp
	mov %rax, %rdi
	lea ARGS(%rbp), %rsi
	call gate_quick
	test %al, %al
	jz 1f

	subq $2, SAVED_RCX(%rbp)
	mov NUMBER(%rbp), %rax
	jmp 3f

1:	mov gate_vectors(%rip), %eax
	test %eax, %eax
	jz 2f
	/* What the vector registers hold; the header is only partly written. */
	sub gate_vectors+4(%rip), %rsp
	and $-64, %rsp
	xor %edx, %edx
	mov %rdx, 512+16(%rsp)
	mov %rdx, 512+24(%rsp)
	mov %rdx, 512+32(%rsp)
	mov %rdx, 512+40(%rsp)
	mov %rdx, 512+48(%rsp)
	mov %rdx, 512+56(%rsp)
	xsavec (%rsp)
	mov NUMBER(%rbp), %rdi
	lea ARGS(%rbp), %rsi
	call gate_site
	mov %rax, NUMBER(%rbp)
	mov gate_vectors(%rip), %eax
	xor %edx, %edx
	xrstor (%rsp)
	mov NUMBER(%rbp), %rax
	jmp 3f

	/* A CPU that cannot tell which it uses: those that any has. */
2:	sub $256, %rsp
	movaps %xmm0, (%rsp)
	movaps %xmm1, 16(%rsp)
	movaps %xmm2, 32(%rsp)
	movaps %xmm3, 48(%rsp)
	movaps %xmm4, 64(%rsp)
	movaps %xmm5, 80(%rsp)
	movaps %xmm6, 96(%rsp)
	movaps %xmm7, 112(%rsp)
	movaps %xmm8, 128(%rsp)
	movaps %xmm9, 144(%rsp)
	movaps %xmm10, 160(%rsp)
	movaps %xmm11, 176(%rsp)
	movaps %xmm12, 192(%rsp)
	movaps %xmm13, 208(%rsp)
	movaps %xmm14, 224(%rsp)
	movaps %xmm15, 240(%rsp)
	mov NUMBER(%rbp), %rdi
	lea ARGS(%rbp), %rsi
	call gate_site
	movaps (%rsp), %xmm0
	movaps 16(%rsp), %xmm1
	movaps 32(%rsp), %xmm2
	movaps 48(%rsp), %xmm3
	movaps 64(%rsp), %xmm4
	movaps 80(%rsp), %xmm5
	movaps 96(%rsp), %xmm6
	movaps 112(%rsp), %xmm7
	movaps 128(%rsp), %xmm8
	movaps 144(%rsp), %xmm9
	movaps 160(%rsp), %xmm10
	movaps 176(%rsp), %xmm11
	movaps 192(%rsp), %xmm12
	movaps 208(%rsp), %xmm13
	movaps 224(%rsp), %xmm14
	movaps 240(%rsp), %xmm15

3:	mov ARGS(%rbp), %rdi
	mov ARGS+8(%rbp), %rsi
	mov ARGS+16(%rbp), %rdx
	mov ARGS+24(%rbp), %r10
	mov ARGS+32(%rbp), %r8
	mov ARGS+40(%rbp), %r9
	mov %rbp, %rsp
	pop %rbp
	.cfi_restore %rbp
	.cfi_def_cfa %rsp, RED_ZONE + 8
	pop %rcx
	.cfi_def_cfa_offset RED_ZONE
	.cfi_register %rip, %rcx
	lea RED_ZONE(%rsp), %rsp
	.cfi_def_cfa_offset 0
	jmp *%rcx
	.cfi_endproc
	.size gate_entry, .-gate_entry

/*
 * Slots for patch.c, of 64 bytes, each for one place. The last word of a slot says where in libc
 * its system call ends, which is what an unwinder is told in whatever instruction of it: the word
 * at (rip & -64) + 56.
 */
	.balign 4096
	.hidden gate_slots
	.globl gate_slots
	.type gate_slots, @object
gate_slots:
	.cfi_startproc
	.cfi_def_cfa %rsp, 0
	.cfi_escape 0x16, 16, 8, 0x80, 0, 0x09, 0xc0, 0x1a, 0x23, 56, 0x06
	.skip SLOT_AREA, 0xcc
	.cfi_endproc
	.size gate_slots, .-gate_slots
	.balign 4096
	.hidden gate_slots_end
	.globl gate_slots_end
gate_slots_end:

	.section .note.GNU-stack, "", @progbits
#endif
