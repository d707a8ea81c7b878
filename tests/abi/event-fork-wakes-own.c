/* SPDX-License-Identifier: MIT */
/* Parent and child wait for the same address: each descriptor wakes its own. */
#include "procs.h"

static char *p;

static int child_main(int sock, void *arg)
{
	(void)sock;
	(void)arg;
	return p[0];
}

int main(void)
{
	struct forker f;
	struct thread t;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK);
	p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	int child = fork_with_event(fd, &f, child_main, NULL);
	reader(&t, p);
	FAULT(fd, p, 0);
	FAULT(child, p, 0);
	DONE(copy(child, p, page_of(7), PG, 0), PG);
	EQ(ends(f.peer.pid), 7);
	CHECK(blocked(&t));
	EQ(wake(child, p, PG), 0);
	CHECK(blocked(&t));
	DONE(copy(fd, p, page_of(8), PG, 0), PG);
	join(&t);
	EQ(t.byte, 8);
	CHECK(quiet(fd));
	return 0;
}
