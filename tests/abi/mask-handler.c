/* SPDX-License-Identifier: MIT */
/* A handler whose sa_mask blocks everything may touch missing memory. */
#include "abi.h"

static char *p;
static volatile int seen;

static void on_usr1(int sig)
{
	sigset_t now;

	(void)sig;
	EQ(pthread_sigmask(SIG_SETMASK, NULL, &now), 0);
	CHECK(sigismember(&now, SIGSEGV));
	CHECK(sigismember(&now, SIGBUS));
	CHECK(sigismember(&now, SIGUSR2));
	seen = p[0];
	EQ(pthread_sigmask(SIG_SETMASK, NULL, &now), 0);
	CHECK(sigismember(&now, SIGSEGV));
}

static void *raise_it(void *arg)
{
	sigset_t now;

	(void)arg;
	EQ(raise(SIGUSR1), 0);
	EQ(seen, 5);
	EQ(pthread_sigmask(SIG_SETMASK, NULL, &now), 0);
	CHECK(!sigismember(&now, SIGSEGV));
	CHECK(!sigismember(&now, SIGUSR1));
	return NULL;
}

int main(void)
{
	struct sigaction act = {.sa_handler = on_usr1}, got;
	struct thread t;

	start();
	sigfillset(&act.sa_mask);
	EQ(sigaction(SIGUSR1, &act, NULL), 0);
	EQ(sigaction(SIGUSR1, NULL, &got), 0);
	CHECK(sigismember(&got.sa_mask, SIGSEGV));
	CHECK(sigismember(&got.sa_mask, SIGBUS));
	int fd = uffd_open(0);
	p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	run(&t, raise_it, NULL);
	FAULT(fd, p, 0);
	DONE(copy(fd, p, page_of(5), PG, 0), PG);
	join(&t);
	return 0;
}
