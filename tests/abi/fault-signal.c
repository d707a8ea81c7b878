/* SPDX-License-Identifier: MIT */
/* A signal handler runs while a fault is pending; afterwards the access faults again. */
#include "abi.h"

static atomic_int handled;

static void on_usr1(int sig)
{
	(void)sig;
	handled++;
}

int main(void)
{
	struct sigaction act = {.sa_handler = on_usr1};
	struct thread t;

	start();
	EQ(sigaction(SIGUSR1, &act, NULL), 0);
	int fd = uffd_open(0);
	char *p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	reader(&t, p);
	FAULT(fd, p, 0);
	for (int i = 1; i <= 3; i++) {
		EQ(pthread_kill(t.id, SIGUSR1), 0);
		FAULT(fd, p, 0);
		EQ(handled, i);
	}

	/* Unread, the first message is withdrawn: there is one at a time. */
	EQ(wake(fd, p, PG), 0);
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	EQ(poll(&ready, 1, -1), 1);
	CHECK(blocked(&t));
	EQ(pthread_kill(t.id, SIGUSR1), 0);
	while (handled < 4)
		sched_yield();
	CHECK(blocked(&t));
	FAULT(fd, p, 0);
	CHECK(quiet(fd));
	DONE(copy(fd, p, page_of(2), PG, 0), PG);
	join(&t);
	EQ(t.byte, 2);
	CHECK(quiet(fd));
	return 0;
}
