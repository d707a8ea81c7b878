/* SPDX-License-Identifier: MIT */
/* A SIGSEGV handler that repairs and returns: the access is done again. */
#include "abi.h"

static volatile char *volatile closed;
static volatile int calls;

static void on_segv(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	calls++;
	EQ((uintptr_t)info->si_addr & -PG, (uintptr_t)closed);
	EQ(mprotect((void *)closed, PG, PROT_READ | PROT_WRITE), 0);
}

int main(void)
{
	struct sigaction act = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO};
	struct thread t;

	start();
	EQ(sigaction(SIGSEGV, &act, NULL), 0);
	int fd = uffd_open(0);

	/* Ordinary memory. */
	closed = map_prot(1, PROT_NONE);
	closed[3] = 1;
	EQ(calls, 1);
	EQ(closed[3], 1);

	/* Registered memory: opened by the handler, then missing. */
	closed = map_prot(1, PROT_NONE);
	EQ(reg(fd, (void *)closed, PG, MISSING), 0);
	writer(&t, (void *)closed, 4);
	FAULT(fd, (void *)closed, UFFD_PAGEFAULT_FLAG_WRITE);
	EQ(calls, 2);
	DONE(copy(fd, (void *)closed, page_of(1), PG, 0), PG);
	join(&t);
	EQ(closed[0], 4);
	EQ(closed[1], 1);

	/* And present, closed and opened again. */
	EQ(mprotect((void *)closed, PG, PROT_NONE), 0);
	EQ(closed[1], 1);
	EQ(calls, 3);
	EQ(mprotect((void *)closed, PG, PROT_READ), 0);
	closed[1] = 2;
	EQ(calls, 4);
	CHECK(quiet(fd));
	return 0;
}
