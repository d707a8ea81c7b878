/* SPDX-License-Identifier: MIT */
/* ppoll, pselect and sigsuspend with a full mask change nothing for the faults after them. */
#include "abi.h"

#include <sys/select.h>

static char *p;
static volatile int handled;

static void on_usr1(int sig)
{
	(void)sig;
	handled = p[0];
}

static void *wait_in_calls(void *arg)
{
	struct timespec instant = {0, 1000};
	sigset_t every, most;
	struct pollfd none = {.fd = -1};

	(void)arg;
	sigfillset(&every);
	EQ(ppoll(&none, 1, &instant, &every), 0);
	EQ(pselect(0, NULL, NULL, NULL, &instant, &every), 0);
	most = every;
	sigdelset(&most, SIGUSR1);
	ERR(sigsuspend(&most), EINTR);
	EQ(handled, 6);
	EQ(pthread_sigmask(SIG_SETMASK, NULL, &most), 0);
	CHECK(sigismember(&most, SIGSEGV));
	CHECK(sigismember(&most, SIGUSR1));
	return NULL;
}

int main(void)
{
	struct sigaction act = {.sa_handler = on_usr1};
	struct thread t;
	sigset_t every, old;

	start();
	EQ(sigaction(SIGUSR1, &act, NULL), 0);
	int fd = uffd_open(0);
	p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	/* Blocked from its birth on, the thread takes the signal in sigsuspend. */
	sigfillset(&every);
	EQ(pthread_sigmask(SIG_SETMASK, &every, &old), 0);
	run(&t, wait_in_calls, NULL);
	EQ(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
	EQ(pthread_kill(t.id, SIGUSR1), 0);
	FAULT(fd, p, 0);
	DONE(copy(fd, p, page_of(6), PG, 0), PG);
	join(&t);
	return 0;
}
