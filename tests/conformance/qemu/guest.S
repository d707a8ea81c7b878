/* SPDX-License-Identifier: MIT */
/*
 * The guest of the QEMU rows: a firmware image of 64 KiB that needs no operating system.
 *
 * It fills the memory from 1 MiB up with words that follow from their address and a generation,
 * then goes through it again and again, in one order: each word must be that of the last generation
 * and becomes that of the next. At any moment every word is thus determined by where the guest is,
 * and whoever goes on from a state of the machine finds every word that is not of the same moment.
 * The order is every 64th page, a row, then the ones behind those, so that what comes next in memory
 * is not what is touched next. Where it is, is in registers.
 *
 * Before each row the disk reads from memory and writes to it: it is the host's system calls that
 * touch these pages. The end of memory is never written and must read as zeroes.
 *
 *   START            memory that is filled
 *   ecx              16 pages for the disk, one in every 64 KiB; between them stack and table
 *   ecx + AREA       zeroes
 *
 * The disk's first half is 64 chunks of 64 KiB, each word following from its place; copies of them
 * are written to the second half.
 *
 * On port 0xe9, a line of hexadecimal numbers each:
 *   gen GENERATION                      all memory has this generation
 *   bad ADDRESS GENERATION WANT HAVE    and the guest stops; a disk that fails is at address 0
 *
 *   gcc -c guest.S; ld -m elf_i386 -Ttext=0xffff0000 --oformat=binary
 */
#define START	   0x100000
#define PAGE	   4096
#define ROWS	   64
#define STRIDE	   (ROWS * PAGE)	/* START is a multiple of it */
#define MULTIPLIER 0x85ebca6b
#define STEP	   0x9e3779b1
#define DISK	   0x5bd1e995
#define PORT	   0xe9

#define CHUNK	   0x10000
#define SECTORS	   (CHUNK / 512)
#define AREA	   (16 * CHUNK)
#define STACK	   (2 * PAGE)	/* its end */
#define TABLE	   (2 * PAGE)

#define BUSMASTER  0xc000
#define READ_DMA   0xc8
#define WRITE_DMA  0xca

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
 * ecx  first address behind the memory that is filled
 */
	.code32
protected:
	movl	$16, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss

	/* The last eighth of memory is not filled. */
	movl	$1f, %ebx
	jmp	memory_end
1:
	movl	%eax, %ecx
	shrl	$3, %eax
	subl	%eax, %ecx
	andl	$-PAGE, %ecx
	leal	STACK(%ecx), %esp
	call	set_up_disk

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
	call	print
	movl	%edx, %ebp
	call	print_number
	movb	$'\n', %al
	outb	%al, $PORT

	/* In this order: the keys fit the generation, and each other, only when all is set. */
	movl	$START, %edi
	incl	%edx
	movl	%esi, %ebp
	addl	$STEP, %esi
	movl	%edi, %eax
row:
	call	use_disk
advance:
	/* From one page to the next in one step, for those who look at where the guest is. */
	movl	%eax, %edi
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
	jnz	row

	movl	$1f, %ebx
	jmp	memory_end
1:
	leal	AREA(%ecx), %edi
	movl	%eax, %ebx
	xorl	%eax, %eax
zeroes:
	cmpl	%eax, (%edi)
	jne	bad
	addl	$4, %edi
	cmpl	%ebx, %edi
	jb	zeroes
	jmp	generation

/* What is at edi is not eax. */
bad:
	movl	(%edi), %esi
	movl	%eax, %ecx
report:
	movl	$'b' | 'a' << 8 | 'd' << 16 | ' ' << 24, %ebp
	call	print
	movl	%edi, %ebp
	call	print_number
	movb	$' ', %al
	outb	%al, $PORT
	movl	%edx, %ebp
	call	print_number
	movb	$' ', %al
	outb	%al, $PORT
	movl	%ecx, %ebp
	call	print_number
	movb	$' ', %al
	outb	%al, $PORT
	movl	%esi, %ebp
	call	print_number
	movb	$'\n', %al
	outb	%al, $PORT
stop:
	hlt
	jmp	stop

/* eax: first address behind memory. Goes back to ebx; there may be no stack yet. */
memory_end:
	/* The real-time clock's memory has the size beyond 16 MiB in units of 64 KiB. */
	movb	$0x35, %al
	outb	%al, $0x70
	inb	$0x71, %al
	movb	%al, %ah
	movb	$0x34, %al
	outb	%al, $0x70
	inb	$0x71, %al
	shll	$16, %eax
	addl	$0x1000000, %eax
	jmp	*%ebx

/* The four characters in ebp. Changes eax and ebp. */
print:
	movl	%ebp, %eax
	outb	%al, $PORT
	shrl	$8, %ebp
	jnz	print
	ret

/* ebp as eight hexadecimal digits. Changes eax. */
print_number:
	.rept	8
	roll	$4, %ebp
	movl	%ebp, %eax
	andb	$15, %al
	addb	$'0', %al
	cmpb	$'9', %al
	jbe	1f
	addb	$'a' - '9' - 1, %al
1:
	outb	%al, $PORT
	.endr
	ret

/* ---- The disk: the first one of the PIIX3's ---------------------------------------------------- */

/* eax to register ebx of the controller's configuration. Changes edx. */
configure:
	pushl	%eax
	leal	0x80000900(%ebx), %eax
	movw	$0xcf8, %dx
	outl	%eax, %dx
	popl	%eax
	movw	$0xcfc, %dx
	outl	%eax, %dx
	ret

/* Switches it on, makes the table of its pages, and has chunk 63 in them. */
set_up_disk:
	movl	$BUSMASTER | 1, %eax
	movl	$0x20, %ebx
	call	configure
	movl	$5, %eax	/* ports, and access to memory */
	movl	$4, %ebx
	call	configure

	movl	%ecx, %eax
	leal	TABLE(%ecx), %edi
1:
	movl	%eax, (%edi)
	movl	$PAGE, 4(%edi)
	addl	$CHUNK, %eax
	addl	$8, %edi
	leal	TABLE + 16 * 8(%ecx), %ebx
	cmpl	%ebx, %edi
	jb	1b
	movl	$PAGE | 1 << 31, -4(%edi)

	movl	$ROWS - 1, %eax
	movb	$READ_DMA, %bl
	jmp	transfer

/*
 * eax: first page of a row; edi still is in the row before, and on top of the stack. The pages have the chunk of the row before: it goes to the other half of
 * the disk and comes back, this row's chunk in between and behind it.
 */
use_disk:
	pushal
	subl	$START, %eax
	shrl	$12, %eax
	movl	%eax, %esi
	leal	-1(%eax), %edi
	andl	$ROWS - 1, %edi

	leal	ROWS(%edi), %eax
	movb	$WRITE_DMA, %bl
	call	transfer
	movl	%esi, %eax
	movb	$READ_DMA, %bl
	call	transfer
	call	verify
	leal	ROWS(%edi), %eax
	call	transfer
	movl	%edi, %eax
	call	verify
	movl	%esi, %eax
	call	transfer
	call	verify
	popal
	ret

/* Chunk eax to or from its pages, by the command bl. */
transfer:
	pushal
	imull	$SECTORS, %eax, %esi
	leal	TABLE(%ecx), %eax
	movw	$BUSMASTER + 4, %dx
	outl	%eax, %dx
	movb	%bl, %al
	notb	%al
	andb	$2, %al
	shlb	$2, %al
	movb	%al, %bh	/* 8: to memory */
	movw	$BUSMASTER, %dx
	outb	%al, %dx
	movb	$6, %al		/* forget interrupt and error */
	movw	$BUSMASTER + 2, %dx
	outb	%al, %dx

	movw	$0x1f2, %dx
	movb	$SECTORS, %al
	outb	%al, %dx
	movl	%esi, %eax
	.rept	3
	incl	%edx
	outb	%al, %dx
	shrl	$8, %eax
	.endr
	incl	%edx
	movb	$0xe0, %al
	outb	%al, %dx
	incl	%edx
	movb	%bl, %al
	outb	%al, %dx
	movb	%bh, %al
	orb	$1, %al
	movw	$BUSMASTER, %dx
	outb	%al, %dx

	addl	$2, %edx
1:
	inb	%dx, %al
	testb	$4, %al
	jz	1b
	movb	%al, %bl
	movw	$BUSMASTER, %dx
	xorl	%eax, %eax
	outb	%al, %dx
	movw	$0x1f7, %dx
	inb	%dx, %al
	shll	$8, %eax
	movb	%bl, %al
	testl	$0x2102, %eax
	jnz	1f
	popal
	ret
1:
	xorl	%edi, %edi	/* bad: WANT is the first sector, HAVE the two states */
	movl	%esi, %ecx
	movl	%eax, %esi
	jmp	report

/* Chunk eax must be in its pages. */
verify:
	pushal
	shll	$16, %eax
	movl	%eax, %ebx
	movl	%ecx, %edi
	leal	AREA(%ecx), %esi
1:
	movl	%ebx, %eax
	xorl	$DISK, %eax
	imull	$MULTIPLIER, %eax
	cmpl	%eax, (%edi)
	jne	bad
	addl	$4, %ebx
	addl	$4, %edi
	testl	$PAGE - 1, %edi
	jnz	1b
	addl	$CHUNK - PAGE, %edi
	cmpl	%esi, %edi
	jb	1b
	popal
	ret

	/* Where the processor begins. */
	.org	0xfff0
	.code16
	jmp	_start
	.balign	16
