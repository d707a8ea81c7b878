/* SPDX-License-Identifier: MIT */
/* sigaltstack shows what the thread set, and handlers run there; faults go on as ever. */
#include "abi.h"

static char stack[65536];
static char *p;
static volatile bool inside;

static bool on_it(void)
{
	char here;

	return (uintptr_t)&here - (uintptr_t)stack < sizeof stack;
}

static void handler(int sig)
{
	stack_t now;

	(void)sig;
	EQ(sigaltstack(NULL, &now), 0);
	if (on_it())
		EQ(now.ss_flags & SS_ONSTACK, SS_ONSTACK);
	inside = on_it();
	(void)*(volatile char *)p;
}

static void *use_it(void *arg)
{
	stack_t set = {.ss_sp = stack, .ss_size = sizeof stack}, got;
	struct sigaction act = {.sa_handler = handler, .sa_flags = SA_ONSTACK};

	(void)arg;
	EQ(sigaltstack(NULL, &got), 0);
	EQ(got.ss_flags, SS_DISABLE);
	(void)*(volatile char *)(p + PG);
	EQ(sigaltstack(&set, &got), 0);
	EQ(got.ss_flags, SS_DISABLE);
	EQ(sigaltstack(NULL, &got), 0);
	EQ((uintptr_t)got.ss_sp, (uintptr_t)stack);
	EQ(got.ss_size, sizeof stack);
	EQ(got.ss_flags, 0);
	EQ(sigaction(SIGUSR1, &act, NULL), 0);
	EQ(raise(SIGUSR1), 0);
	CHECK(inside);

	act.sa_flags = 0;
	EQ(sigaction(SIGUSR1, &act, NULL), 0);
	EQ(raise(SIGUSR1), 0);
	CHECK(!inside);
	(void)*(volatile char *)(p + 2 * PG);

	set.ss_size = 100;
	ERR(sigaltstack(&set, NULL), ENOMEM);
	set.ss_flags = 77;
	ERR(sigaltstack(&set, NULL), EINVAL);
	set = (stack_t){.ss_flags = SS_DISABLE};
	EQ(sigaltstack(&set, &got), 0);
	EQ((uintptr_t)got.ss_sp, (uintptr_t)stack);
	EQ(sigaltstack(NULL, &got), 0);
	EQ(got.ss_flags, SS_DISABLE);
	act.sa_flags = SA_ONSTACK;
	EQ(sigaction(SIGUSR1, &act, NULL), 0);
	EQ(raise(SIGUSR1), 0);
	CHECK(!inside);
	(void)*(volatile char *)(p + 3 * PG);
	return NULL;
}

static void serve(int fd, char *page)
{
	FAULT(fd, page, 0);
	DONE(zeropage(fd, page, PG, 0), PG);
}

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0);
	p = map(4);
	EQ(reg(fd, p, 4 * PG, MISSING), 0);
	run(&t, use_it, NULL);
	serve(fd, p + PG);
	serve(fd, p);
	serve(fd, p + 2 * PG);
	serve(fd, p + 3 * PG);
	join(&t);
	return 0;
}
