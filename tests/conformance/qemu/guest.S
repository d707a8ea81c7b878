/* SPDX-License-Identifier: MIT */
/*
 * The guest of the QEMU rows: a firmware image of 64 KiB that needs no operating system and no
 * memory of its own, all it knows being in registers.
 *
 * It fills the memory from 1 MiB up with words that follow from their address and a generation,
 * then goes through it again and again, in one order: each word must be that of the last generation
 * and becomes that of the next. At any moment every word is thus determined by where the guest is,
 * and whoever goes on from a state of the machine finds every word that is not of the same moment.
 * The order is every 64th page, then the ones behind those, so that what comes next in memory is
 * not what is touched next. The last eighth of memory is never written and must read as zeroes.
 *
 * On port 0xe9, a line of hexadecimal numbers each:
 *   gen GENERATION                      all memory has this generation
 *   bad ADDRESS GENERATION WANT HAVE    and the guest stops
 *
 *   gcc -c guest.S; ld -m elf_i386 -Ttext=0xffff0000 --oformat=binary
 */
#define START	   0x100000
#define MULTIPLIER 0x85ebca6b
#define STEP	   0x9e3779b1
#define PORT	   0xe9
#define PAGE	   4096
#define STRIDE	   (64 * PAGE)	/* START is a multiple of it */

	.code16
	.globl	_start
_start:
	cli
	lgdtl	%cs:(gdt_descriptor - _start)
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	$8, $protected

	.balign	8
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* 8: code, all 4 GiB */
	.quad	0x00cf93000000ffff	/* 16: data, the same */
gdt_descriptor:
	.word	. - gdt - 1
	.long	gdt

/*
 * edi  address of the next word
 * ebp  key of the generation that memory has
 * esi  key of the one that it is given
 * edx  generation
 * ecx  first address of the zeroes
 * esp  first address behind memory: there is no stack
 * ebx  where print goes back to
 */
	.code32
protected:
	movl	$16, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss

	/* The real-time clock's memory has the size beyond 16 MiB in units of 64 KiB. */
	movb	$0x35, %al
	outb	%al, $0x70
	inb	$0x71, %al
	movb	%al, %ah
	movb	$0x34, %al
	outb	%al, $0x70
	inb	$0x71, %al
	movzwl	%ax, %esp
	shll	$16, %esp
	addl	$0x1000000, %esp
	movl	%esp, %ecx
	shrl	$3, %ecx
	negl	%ecx
	addl	%esp, %ecx
	andl	$-PAGE, %ecx

	/* Generation 0. */
	xorl	%edx, %edx
	xorl	%esi, %esi
	movl	$START, %edi
fill:
	movl	%edi, %eax
	imull	$MULTIPLIER, %eax
	movl	%eax, (%edi)
	addl	$4, %edi
	cmpl	%ecx, %edi
	jb	fill

generation:
	movl	$'g' | 'e' << 8 | 'n' << 16 | ' ' << 24, %ebp
	movl	$1f, %ebx
	jmp	print
1:
	movl	%edx, %ebp
	movl	$1f, %ebx
	jmp	print_number
1:
	movb	$'\n', %al
	outb	%al, $PORT

	/* In this order: the keys fit the generation, and each other, only when all is set. */
	movl	$START, %edi
	incl	%edx
	movl	%esi, %ebp
	addl	$STEP, %esi
	jmp	next
advance:
	/* From one page to the next in one step, as others look at where the guest is. */
	movl	%eax, %edi
next:
	movl	%edi, %eax
	xorl	%ebp, %eax
	imull	$MULTIPLIER, %eax
	cmpl	%eax, (%edi)
	jne	bad
	movl	%edi, %eax
	xorl	%esi, %eax
	imull	$MULTIPLIER, %eax
	movl	%eax, (%edi)
	leal	4(%edi), %eax
	testl	$PAGE - 1, %eax
	jnz	advance
	addl	$STRIDE - PAGE, %eax
	cmpl	%ecx, %eax
	jb	advance
	andl	$STRIDE - PAGE, %eax
	addl	$START + PAGE, %eax
	testl	$STRIDE - PAGE, %eax
	jnz	advance

	movl	%ecx, %edi
zeroes:
	xorl	%eax, %eax
	cmpl	%eax, (%edi)
	jne	bad
	addl	$4, %edi
	cmpl	%esp, %edi
	jb	zeroes
	jmp	generation

bad:
	movl	(%edi), %esi	/* have */
	movl	%eax, %ecx	/* want */
	movl	$'b' | 'a' << 8 | 'd' << 16 | ' ' << 24, %ebp
	movl	$1f, %ebx
	jmp	print
1:
	movl	%edi, %ebp
	movl	$1f, %ebx
	jmp	print_number
1:
	movb	$' ', %al
	outb	%al, $PORT
	movl	%edx, %ebp
	movl	$1f, %ebx
	jmp	print_number
1:
	movb	$' ', %al
	outb	%al, $PORT
	movl	%ecx, %ebp
	movl	$1f, %ebx
	jmp	print_number
1:
	movb	$' ', %al
	outb	%al, $PORT
	movl	%esi, %ebp
	movl	$1f, %ebx
	jmp	print_number
1:
	movb	$'\n', %al
	outb	%al, $PORT
stop:
	hlt
	jmp	stop

/* The four characters in ebp. Changes eax and ebp. */
print:
	movl	%ebp, %eax
	outb	%al, $PORT
	shrl	$8, %ebp
	jnz	print
	jmp	*%ebx

/* ebp as eight hexadecimal digits. Changes eax. */
print_number:
	.rept	8
	roll	$4, %ebp
	movl	%ebp, %eax
	andb	$15, %al
	addb	$'0', %al
	cmpb	$'9', %al
	jbe	2f
	addb	$'a' - '9' - 1, %al
2:
	outb	%al, $PORT
	.endr
	jmp	*%ebx

	/* Where the processor begins. */
	.org	0xfff0
	.code16
	jmp	_start
	.balign	16
