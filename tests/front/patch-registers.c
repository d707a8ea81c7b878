/* SPDX-License-Identifier: MIT */
/*
 * A system call inside libc leaves every register but three alone, and the red zone, however it is
 * made: one that is passed on at once, one that is looked into, and one that waits for a handler.
 */
#include "abi.h"

#include <dlfcn.h>
#include <stddef.h>

/* What a function of libc that only makes a system call must not change: all that it could. */
struct state {
	uint64_t rdx, r8, r9, r10;
	uint64_t rbx, r12, r13, r14, r15;
	uint64_t red[16];
	uint8_t xmm[16][16];
};

struct invocation {
	struct state before, after;
	void *function;
	uint64_t rdi, rsi, result;
};

/*
 * Calls the function with all of that set, and notes what it is afterwards. The red zone is the
 * function's: the 128 bytes below the return address.
 */
void invoke(struct invocation *i);
__asm__(".text\n"
	".globl invoke\n"
	".type invoke, @function\n"
	"invoke:\n"
	"	push %rbx\n"
	"	push %rbp\n"
	"	push %r12\n"
	"	push %r13\n"
	"	push %r14\n"
	"	push %r15\n"
	"	push %rdi\n"
	"	mov %rdi, %rbp\n"
	"	xor %ecx, %ecx\n"
	"1:	mov 72(%rbp,%rcx,8), %rax\n"
	"	mov %rax, -136(%rsp,%rcx,8)\n"
	"	inc %ecx\n"
	"	cmp $16, %ecx\n"
	"	jb 1b\n"
#define EACH_XMM(X)                                                                                \
	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define LOAD(n)	 "	movups 200+16*" #n "(%rbp), %xmm" #n "\n"
#define STORE(n) "	movups %xmm" #n ", 656+16*" #n "(%rbp)\n"
	EACH_XMM(LOAD) "	mov 0(%rbp), %rdx\n"
		       "	mov 8(%rbp), %r8\n"
		       "	mov 16(%rbp), %r9\n"
		       "	mov 24(%rbp), %r10\n"
		       "	mov 32(%rbp), %rbx\n"
		       "	mov 40(%rbp), %r12\n"
		       "	mov 48(%rbp), %r13\n"
		       "	mov 56(%rbp), %r14\n"
		       "	mov 64(%rbp), %r15\n"
		       "	mov 920(%rbp), %rdi\n"
		       "	mov 928(%rbp), %rsi\n"
		       "	call *912(%rbp)\n"
		       "	mov %rax, 936(%rbp)\n"
		       "	mov %rdx, 456(%rbp)\n"
		       "	mov %r8, 464(%rbp)\n"
		       "	mov %r9, 472(%rbp)\n"
		       "	mov %r10, 480(%rbp)\n"
		       "	mov %rbx, 488(%rbp)\n"
		       "	mov %r12, 496(%rbp)\n"
		       "	mov %r13, 504(%rbp)\n"
		       "	mov %r14, 512(%rbp)\n"
		       "	mov %r15, 520(%rbp)\n" EACH_XMM(
			       STORE) "	xor %ecx, %ecx\n"
				      "2:	mov -136(%rsp,%rcx,8), %rax\n"
				      "	mov %rax, 528(%rbp,%rcx,8)\n"
				      "	inc %ecx\n"
				      "	cmp $16, %ecx\n"
				      "	jb 2b\n"
				      "	pop %rdi\n"
				      "	pop %r15\n"
				      "	pop %r14\n"
				      "	pop %r13\n"
				      "	pop %r12\n"
				      "	pop %rbp\n"
				      "	pop %rbx\n"
				      "	ret\n"
				      ".size invoke, .-invoke\n");

_Static_assert(sizeof(struct state) == 456, "as above");
_Static_assert(offsetof(struct invocation, function) == 912, "as above");

static int fd;

static void *libc(const char *name)
{
	/* libc's own, not what stands before it. */
	void *fn = dlsym(dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD), name);

	CHECK(fn);
	return fn;
}

static void check(const char *name, const void *first, uint64_t second)
{
	struct invocation i = {.function = libc(name), .rdi = (uintptr_t)first, .rsi = second};
	uint8_t *bytes = (uint8_t *)&i.before;

	about = name;
	for (size_t n = 0; n < sizeof(i.before); n++)
		bytes[n] = (uint8_t)(n * 7 + 1);
	invoke(&i);
	EQ(i.result, 0);
	EQ(i.after.rdx, i.before.rdx);
	EQ(i.after.r8, i.before.r8);
	EQ(i.after.r9, i.before.r9);
	EQ(i.after.r10, i.before.r10);
	EQ(i.after.rbx, i.before.rbx);
	EQ(i.after.r12, i.before.r12);
	EQ(i.after.r15, i.before.r15);
	EQ(memcmp(i.after.red, i.before.red, sizeof(i.after.red)), 0);
	EQ(memcmp(i.after.xmm, i.before.xmm, sizeof(i.after.xmm)), 0);
}

static void *answer(void *arg)
{
	struct uffd_msg msg = next_msg(fd);

	EQ(msg.event, UFFD_EVENT_PAGEFAULT);
	DONE(zeropage(fd, (void *)(msg.pagefault.address & -PG), PG, 0), PG);
	return arg;
}

int main(void)
{
	struct thread t;
	char *p;

	start();
	check("access", "/", F_OK);
	check("munmap", map(1), PG);

	fd = uffd_open_full(0);
	check("access", "/", F_OK);
	check("munmap", map(1), PG);
	p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	check("munmap", p, 2 * PG);
	p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	run(&t, answer, NULL);
	check("uname", p, 0);
	join(&t);
	CHECK(*p);
	return 0;
}
