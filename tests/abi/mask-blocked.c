/* SPDX-License-Identifier: MIT */
/* A thread that blocks SIGSEGV and SIGBUS faults like any other, and sees the mask it set. */
#include "abi.h"

static int fd;
static char *p;

static void shown(bool segv, bool usr1)
{
	sigset_t now;

	EQ(sigprocmask(SIG_BLOCK, NULL, &now), 0);
	EQ(sigismember(&now, SIGSEGV), segv);
	EQ(sigismember(&now, SIGUSR1), usr1);
	EQ(pthread_sigmask(SIG_SETMASK, NULL, &now), 0);
	EQ(sigismember(&now, SIGSEGV), segv);
	EQ(sigismember(&now, SIGUSR1), usr1);
}

static void *blocked_by_thread(void *arg)
{
	sigset_t every, old;

	(void)arg;
	sigfillset(&every);
	EQ(pthread_sigmask(SIG_SETMASK, &every, &old), 0);
	CHECK(!sigismember(&old, SIGSEGV));
	EQ(p[0], 1);
	shown(true, true);
	EQ(pthread_sigmask(SIG_SETMASK, &old, &every), 0);
	CHECK(sigismember(&every, SIGSEGV));
	CHECK(sigismember(&every, SIGBUS));
	shown(false, false);
	return NULL;
}

static void *blocked_by_process(void *arg)
{
	sigset_t set, old;

	(void)arg;
	sigemptyset(&set);
	sigaddset(&set, SIGSEGV);
	EQ(sigprocmask(SIG_BLOCK, &set, &old), 0);
	CHECK(!sigismember(&old, SIGSEGV));
	p[PG] = 3;
	shown(true, false);
	EQ(sigprocmask(SIG_UNBLOCK, &set, &old), 0);
	CHECK(sigismember(&old, SIGSEGV));
	shown(false, false);
	return NULL;
}

static void *blocked_by_birth(void *arg)
{
	(void)arg;
	shown(true, true);
	p[2 * PG] = 4;
	shown(true, true);
	return NULL;
}

int main(void)
{
	struct thread t;
	sigset_t every, old;

	start();
	fd = uffd_open(0);
	p = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	run(&t, blocked_by_thread, NULL);
	FAULT(fd, p, 0);
	DONE(copy(fd, p, page_of(1), PG, 0), PG);
	join(&t);

	run(&t, blocked_by_process, NULL);
	FAULT(fd, p + PG, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(zeropage(fd, p + PG, PG, 0), PG);
	join(&t);

	sigfillset(&every);
	EQ(pthread_sigmask(SIG_SETMASK, &every, &old), 0);
	run(&t, blocked_by_birth, NULL);
	EQ(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
	FAULT(fd, p + 2 * PG, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(zeropage(fd, p + 2 * PG, PG, 0), PG);
	join(&t);
	ERR(sigprocmask(77, &every, NULL), EINVAL);
	return 0;
}
