/* SPDX-License-Identifier: MIT */
/* A signal ends a blocked read with EINTR, unless SA_RESTART starts it again. */
#include "abi.h"

static atomic_int handled;

static void on_usr1(int sig)
{
	(void)sig;
	handled++;
}

static void *read_interrupted(void *arg)
{
	struct uffd_msg msg;

	ERR(read(*(int *)arg, &msg, sizeof msg), EINTR);
	return NULL;
}

static void *read_restarted(void *arg)
{
	struct uffd_msg msg;

	EQ(read(*(int *)arg, &msg, sizeof msg), sizeof msg);
	EQ(msg.event, UFFD_EVENT_PAGEFAULT);
	return NULL;
}

int main(void)
{
	struct sigaction act = {.sa_handler = on_usr1};
	struct thread waiter, t;

	start();
	int fd = uffd_new(O_CLOEXEC);
	EQ(uffd_api(fd, 0), 0);
	char *p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);

	EQ(sigaction(SIGUSR1, &act, NULL), 0);
	run(&waiter, read_interrupted, &fd);
	CHECK(blocked(&waiter));
	EQ(pthread_kill(waiter.id, SIGUSR1), 0);
	join(&waiter);
	EQ(handled, 1);

	act.sa_flags = SA_RESTART;
	EQ(sigaction(SIGUSR1, &act, NULL), 0);
	run(&waiter, read_restarted, &fd);
	CHECK(blocked(&waiter));
	EQ(pthread_kill(waiter.id, SIGUSR1), 0);
	while (handled != 2)
		sched_yield();
	CHECK(blocked(&waiter));
	reader(&t, p);
	join(&waiter);
	DONE(zeropage(fd, p, PG, 0), PG);
	join(&t);
	return 0;
}
