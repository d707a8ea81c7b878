/* SPDX-License-Identifier: MIT */
/* A SIGSEGV handler on the alternate stack catches a stack overflow. */
#include "abi.h"

static char stack[65536];
static sigjmp_buf away;
static volatile uintptr_t handler_at;

static void on_segv(int sig)
{
	char here;

	handler_at = (uintptr_t)&here;
	siglongjmp(away, sig);
}

static int __attribute__((noinline)) deeper(volatile char *above, long levels)
{
	volatile char here[2048];

	here[0] = above[0];
	return levels ? deeper(here, levels - 1) + here[0] : 0;
}

static void *overflow(void *arg)
{
	stack_t set = {.ss_sp = stack, .ss_size = sizeof stack};
	volatile char start_of_it = 0;

	(void)arg;
	EQ(sigaltstack(&set, NULL), 0);
	for (int i = 0; i < 2; i++) {
		handler_at = 0;
		if (!sigsetjmp(away, 1))
			EQ(deeper(&start_of_it, 1000000), 0);
		CHECK(handler_at - (uintptr_t)stack < sizeof stack);
	}
	return NULL;
}

int main(void)
{
	struct sigaction act = {.sa_handler = on_segv, .sa_flags = SA_ONSTACK};
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	EQ(sigaction(SIGSEGV, &act, NULL), 0);
	run(&t, overflow, NULL);
	join(&t);
	reader(&t, p);
	FAULT(fd, p, 0);
	DONE(zeropage(fd, p, PG, 0), PG);
	join(&t);
	return 0;
}
