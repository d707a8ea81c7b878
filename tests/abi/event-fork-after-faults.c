/* SPDX-License-Identifier: MIT */
/* Faults are read before the event of a fork; one read can bring both. */
#include "procs.h"

static char *p;
static atomic_bool forking;

/* Begun before the fork: libc makes no threads while it forks. */
static void *read_later(void *arg)
{
	while (!forking)
		sched_yield();
	return (void *)(long)*(volatile char *)arg;
}

static int child_main(int sock, void *arg)
{
	(void)sock;
	(void)arg;
	return 0;
}

int main(void)
{
	struct forker f;
	struct thread t;
	struct uffd_msg msgs[4];

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK);
	p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	run(&t, read_later, p + PG);
	fork_start(&f, child_main, NULL);
	while (!f.thread.tid || task_state(f.thread.tid) != 'D')
		sched_yield();
	/* The address space is not locked by the fork any more. */
	forking = true;
	CHECK(blocked(&t));
	EQ(read(fd, msgs, sizeof msgs), 2 * sizeof *msgs);
	fault_at(__FILE__, __LINE__, msgs[0], p + PG, 0);
	EQ(msgs[1].event, UFFD_EVENT_FORK);
	fork_join(&f);
	peer_end(&f.peer);
	EQ(fcntl((int)msgs[1].raw[0], F_GETFD), FD_CLOEXEC);
	struct outcome got;
	do
		got = copy(fd, p + PG, page_of(1), PG, 0);
	while (got.err == EAGAIN);
	EQ(got.err, 0);
	join(&t);
	return 0;
}
