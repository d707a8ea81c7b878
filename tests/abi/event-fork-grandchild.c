/* SPDX-License-Identifier: MIT */
/* A fork of the child is an event on the child's descriptor. */
#include "procs.h"

static char *p;

static int grandchild_main(int sock, void *arg)
{
	(void)sock;
	(void)arg;
	EQ(p[0], 1);
	EQ(p[PG], 3);
	return 0;
}

static int child_main(int sock, void *arg)
{
	(void)sock;
	EQ(p[0], 1);
	struct peer child = peer_start(grandchild_main, arg);
	EQ(p[PG], 2);
	peer_end(&child);
	return 0;
}

int main(void)
{
	struct forker f;
	struct thread t;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK);
	p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	int child = fork_with_event(fd, &f, child_main, NULL);
	FAULT(child, p, 0);
	DONE(copy(child, p, page_of(1), PG, 0), PG);
	int grandchild = next_fork(child);
	CHECK(grandchild != child && grandchild != fd);
	FAULT(child, p + PG, 0);
	FAULT(grandchild, p + PG, 0);
	DONE(copy(grandchild, p + PG, page_of(3), PG, 0), PG);
	DONE(copy(child, p + PG, page_of(2), PG, 0), PG);
	peer_end(&f.peer);
	reader(&t, p);
	FAULT(fd, p, 0);
	DONE(copy(fd, p, page_of(7), PG, 0), PG);
	join(&t);
	EQ(t.byte, 7);
	CHECK(quiet(fd));
	CHECK(quiet(child));
	CHECK(quiet(grandchild));
	return 0;
}
