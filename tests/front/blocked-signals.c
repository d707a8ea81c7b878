/* SPDX-License-Identifier: MIT */
/* A program that blocks every signal, before and after, in all its threads, is served as ever. */
#include "abi.h"

static char *p;
static _Atomic int touched;

static void *touch(void *arg)
{
	sigset_t now;

	EQ(pthread_sigmask(SIG_SETMASK, NULL, &now), 0);
	CHECK(sigismember(&now, SIGSEGV));
	CHECK(sigismember(&now, SIGUSR1));
	*(volatile char *)arg += 1;
	atomic_fetch_add(&touched, 1);
	return NULL;
}

int main(void)
{
	sigset_t all, none, now;
	struct thread t[4];
	pthread_t before;
	int i;

	start();
	sigfillset(&all);
	sigemptyset(&none);
	EQ(sigprocmask(SIG_BLOCK, &all, NULL), 0);
	EQ(pthread_create(&before, NULL, touch, map(1)), 0);
	EQ(pthread_join(before, NULL), 0);
	int fd = uffd_open(0);
	p = map(5);
	EQ(reg(fd, p, 5 * PG, MISSING), 0);
	for (i = 0; i < 4; i++) {
		run(&t[i], touch, p + i * PG);
		/* Read first, then written. */
		FAULT(fd, p + i * PG, 0);
		DONE(copy(fd, p + i * PG, page_of(i), PG, 0), PG);
		join(&t[i]);
		EQ(p[i * PG], i + 1);
	}
	EQ(touched, 5);

	/* poll and its kin with a mask. */
	struct pollfd pollfd = {.fd = fd, .events = POLLIN};
	struct timespec soon = {.tv_nsec = 1000};
	EQ(ppoll(&pollfd, 1, &soon, &all), 0);
	reader(&t[0], p + 4 * PG);
	EQ(ppoll(&pollfd, 1, NULL, &all), 1);
	EQ(pollfd.revents, POLLIN);
	FAULT(fd, p + 4 * PG, 0);
	DONE(zeropage(fd, p + 4 * PG, PG, 0), PG);
	join(&t[0]);

	EQ(sigprocmask(SIG_SETMASK, &none, &now), 0);
	CHECK(sigismember(&now, SIGSEGV));
	EQ(sigprocmask(SIG_SETMASK, NULL, &now), 0);
	CHECK(!sigismember(&now, SIGSEGV));
	EQ(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, NULL, 8), 0);
	EQ(sigprocmask(SIG_UNBLOCK, &none, &now), 0);
	CHECK(sigismember(&now, SIGSEGV));
	return 0;
}
