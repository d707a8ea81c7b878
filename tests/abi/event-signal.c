/* SPDX-License-Identifier: MIT */
/* A signal does not end the wait for an event; its handler runs afterwards. */
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
	struct call c;

	start();
	EQ(sigaction(SIGUSR1, &act, NULL), 0);
	int fd = uffd_open(UFFD_FEATURE_EVENT_UNMAP);
	char *p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	call_munmap(&c, p, PG);
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	EQ(poll(&ready, 1, -1), 1);
	EQ(pthread_kill(c.thread.id, SIGUSR1), 0);
	for (int i = 0; i < 1000; i++)
		sched_yield();
	CHECK(!c.thread.done);
	EVENT(fd, UFFD_EVENT_UNMAP, p, p + PG, 0);
	EQ(returned(&c), 0);
	EQ(handled, 1);
	return 0;
}
