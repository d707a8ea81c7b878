/* SPDX-License-Identifier: MIT */
/* Shared memory stays shared: each sees what the other writes, and what the handler fills. */
#include "procs.h"

static int child_main(int sock, void *arg)
{
	struct memory *m = arg;
	size_t u = m->unit;

	EQ(m->p[0], 1);
	m->p[0] = 2;
	/* It is not registered here: the child makes the page. */
	EQ(m->p[u], 0);
	m->p[u] = 3;
	tell(sock, 0);
	hear(sock);
	EQ(m->p[0], 4);
	CHECK(all(m->p + 2 * u, u, 5));
	m->p[2 * u + 1] = 6;
	return 0;
}

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	DONE(copy(fd, m->p, source(m, 1, 1), u, 0), u);
	struct peer child = peer_start(child_main, m);
	hear(child.sock);
	EQ(m->p[0], 2);
	/* The page cache has the page: nothing is missing. */
	EQ(m->p[u], 3);
	CHECK(quiet(fd));
	m->p[0] = 4;
	DONE(copy(fd, m->p + 2 * u, source(m, 1, 5), u, 0), u);
	tell(child.sock, 0);
	peer_end(&child);
	EQ(m->p[2 * u + 1], 6);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	return each(SHMEM_SHARED | HUGE_MEMFD | HUGE_SHARED, 3, check);
}
