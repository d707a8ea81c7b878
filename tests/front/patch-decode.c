/* SPDX-License-Identifier: MIT */
/* Which instructions can be moved, how long they are, and where in them a distance is. */
#include <stdio.h>
#include <string.h>

#include "front/patch.h"

struct one {
	const char *text;
	uint8_t bytes[12];
	uint8_t size; /* 0: not to be moved */
	uint8_t relative;
};

static const struct one ones[] = {
	{"mov %rsi,%rdx", {0x48, 0x89, 0xf2}, 3, 0},
	{"mov %r8d,%edi", {0x44, 0x89, 0xc7}, 3, 0},
	{"mov 0x8(%rsp),%edi", {0x8b, 0x7c, 0x24, 0x08}, 4, 0},
	{"mov 0x10(%rsp),%rsi", {0x48, 0x8b, 0x74, 0x24, 0x10}, 5, 0},
	{"mov -0x60(%rbp),%edi", {0x8b, 0x7d, 0xa0}, 3, 0},
	{"lea 0x8f0(%rbx),%rsi", {0x48, 0x8d, 0xb3, 0xf0, 0x08, 0x00, 0x00}, 7, 0},
	{"lea 0x28(%r12,%rbp,4),%rdi", {0x49, 0x8d, 0x7c, 0xac, 0x28}, 5, 0},
	{"lea 0x1178dd(%rip),%rsi", {0x48, 0x8d, 0x35, 0xdd, 0x78, 0x11, 0x00}, 7, 3},
	{"mov 0xfe9f9(%rip),%r8", {0x4c, 0x8b, 0x05, 0xf9, 0xe9, 0x0f, 0x00}, 7, 3},
	{"movl $1,0x1aea65(%rip)", {0xc7, 0x05, 0x65, 0xea, 0x1a, 0x00, 1, 0, 0, 0}, 10, 2},
	{"movl $0,0x8(%r8,%rdx,4)", {0x41, 0xc7, 0x44, 0x90, 0x08, 0, 0, 0, 0}, 9, 0},
	{"movb $0,0x67(%rsp)", {0xc6, 0x44, 0x24, 0x67, 0x00}, 5, 0},
	{"xor $0x81,%sil", {0x40, 0x80, 0xf6, 0x81}, 4, 0},
	{"xor %esi,%esi", {0x31, 0xf6}, 2, 0},
	{"xor %r10d,%r10d", {0x45, 0x31, 0xd2}, 3, 0},
	{"mov $0x8,%edx", {0xba, 8, 0, 0, 0}, 5, 0},
	{"mov $0x8,%r10d", {0x41, 0xba, 8, 0, 0, 0}, 6, 0},
	{"cmovbe %r8,%rsi", {0x49, 0x0f, 0x46, 0xf0}, 4, 0},
	{"sete %sil", {0x40, 0x0f, 0x94, 0xc6}, 4, 0},
	{"movzbl 0x8(%rsp),%edi", {0x0f, 0xb6, 0x7c, 0x24, 0x08}, 5, 0},
	{"mov %fs:(%r10),%ebp", {0x64, 0x41, 0x8b, 0x2a}, 4, 0},
	{"mov 0x1000,%edi", {0x8b, 0x3c, 0x25, 0x00, 0x10, 0x00, 0x00}, 7, 0},

	/* Another number. */
	{"mov %r8d,%eax", {0x44, 0x89, 0xc0}, 0, 0},
	{"xor %eax,%eax", {0x31, 0xc0}, 0, 0},
	{"mov (%rbx),%eax", {0x8b, 0x03}, 0, 0},
	{"sete %al", {0x0f, 0x94, 0xc0}, 0, 0},
	/* Another stack. */
	{"sub $0x8,%rsp", {0x48, 0x83, 0xec, 0x08}, 0, 0},
	{"push %rbx", {0x53}, 0, 0},
	{"mov %rbp,%rsp", {0x48, 0x89, 0xec}, 0, 0},
	/* Another place. */
	{"ret", {0xc3}, 0, 0},
	{"jmp", {0xeb, 0x10}, 0, 0},
	{"call", {0xe8, 0, 0, 0, 0}, 0, 0},
	{"je", {0x0f, 0x84, 0, 0, 0, 0}, 0, 0},
	{"syscall", {0x0f, 0x05}, 0, 0},
	/* Not known, or longer than it looks. */
	{"mov $imm64,%rdx", {0x48, 0xba, 1, 2, 3, 4, 5, 6, 7, 8}, 0, 0},
	{"movups %xmm0,(%rax)", {0x0f, 0x11, 0x00}, 0, 0},
};

int main(void)
{
	size_t i;
	int failed = 0;

	for (i = 0; i < sizeof(ones) / sizeof(ones[0]); i++) {
		const struct one *o = &ones[i];
		struct patch_insn got = {0, 0};
		/* It must end before the call does begin. */
		unsigned room = o->size ? o->size : sizeof(o->bytes);
		bool can = patch_decode(o->bytes, o->bytes + room, &got);

		if (can != !!o->size ||
		    (can && (got.size != o->size || got.relative != o->relative))) {
			fprintf(stderr, "%s: expected %u, %u, got %s %u, %u\n", o->text, o->size,
				o->relative, can ? "yes" : "no", got.size, got.relative);
			failed = 1;
		}
		if (o->size > 1 && patch_decode(o->bytes, o->bytes + o->size - 1, &got)) {
			fprintf(stderr, "%s: found where it is cut off\n", o->text);
			failed = 1;
		}
	}
	return failed;
}
