/* SPDX-License-Identifier: MIT */
/* The program's own SIGSEGV handler gets what is its own, and may leave by siglongjmp. */
#include "abi.h"

static sigjmp_buf away;
static siginfo_t seen;
static int restored;

static void on_segv(int sig, siginfo_t *info, void *context)
{
	sigset_t now;

	CHECK(context);
	EQ(sig, SIGSEGV);
	EQ(pthread_sigmask(SIG_SETMASK, NULL, &now), 0);
	CHECK(sigismember(&now, SIGSEGV));
	CHECK(sigismember(&now, SIGUSR2));
	CHECK(!sigismember(&now, SIGUSR1));
	seen = *info;
	restored++;
	siglongjmp(away, 1);
}

int main(void)
{
	struct sigaction act = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO}, got;
	struct thread t;
	sigset_t now;

	start();
	sigaddset(&act.sa_mask, SIGUSR2);
	EQ(sigaction(SIGSEGV, &act, NULL), 0);
	int fd = uffd_open(0);
	char *p = map(2), *readable = map_prot(1, PROT_READ);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	EQ(sigaction(SIGSEGV, NULL, &got), 0);
	CHECK(got.sa_sigaction == on_segv);
	EQ(got.sa_flags & (SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART), SA_SIGINFO);
	CHECK(sigismember(&got.sa_mask, SIGUSR2));
	CHECK(!sigismember(&got.sa_mask, SIGUSR1));

	for (int i = 0; i < 3; i++) {
		if (!sigsetjmp(away, 1))
			*at_address(8) = 1;
		EQ(restored, 2 * i + 1);
		EQ(seen.si_signo, SIGSEGV);
		EQ(seen.si_code, SEGV_MAPERR);
		EQ((uintptr_t)seen.si_addr, 8);
		if (!sigsetjmp(away, 1))
			*(volatile char *)(readable + 5) = 1;
		EQ(restored, 2 * i + 2);
		EQ(seen.si_code, SEGV_ACCERR);
		EQ((uintptr_t)seen.si_addr, (uintptr_t)readable + 5);
		EQ(pthread_sigmask(SIG_SETMASK, NULL, &now), 0);
		CHECK(!sigismember(&now, SIGSEGV));
		CHECK(!sigismember(&now, SIGUSR2));
	}
	reader(&t, p);
	FAULT(fd, p, 0);
	DONE(copy(fd, p, page_of(2), PG, 0), PG);
	join(&t);
	EQ(restored, 6);
	return 0;
}
