/* SPDX-License-Identifier: MIT */
/* Two userfaultfds: an event for each that asked for them; fork waits for all of them. */
#include "procs.h"

static char *p;

static int child_main(int sock, void *arg)
{
	(void)sock;
	(void)arg;
	EQ(p[0], 1);
	EQ(p[2 * PG], 2);
	/* The third did not ask: not registered here. */
	EQ(p[4 * PG], 0);
	return 0;
}

int main(void)
{
	struct forker f;

	start();
	int a = uffd_open(UFFD_FEATURE_EVENT_FORK), b = uffd_open(UFFD_FEATURE_EVENT_FORK);
	int c = uffd_open(0);
	p = map(5);
	EQ(reg(a, p, PG, MISSING), 0);
	EQ(reg(b, p + 2 * PG, PG, MISSING), 0);
	EQ(reg(c, p + 4 * PG, PG, MISSING), 0);
	fork_start(&f, child_main, NULL);
	int child_a = next_fork(a);
	for (int i = 0; i < 1000; i++)
		sched_yield();
	CHECK(!f.thread.done);
	int child_b = next_fork(b);
	fork_join(&f);
	CHECK(quiet(c));
	FAULT(child_a, p, 0);
	CHECK(quiet(child_b));
	DONE(copy(child_a, p, page_of(1), PG, 0), PG);
	FAULT(child_b, p + 2 * PG, 0);
	CHECK(quiet(child_a));
	DONE(copy(child_b, p + 2 * PG, page_of(2), PG, 0), PG);
	peer_end(&f.peer);
	return 0;
}
