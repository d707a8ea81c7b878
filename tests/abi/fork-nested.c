/* SPDX-License-Identifier: MIT */
/* A child of a child: three generations of the same pages. */
#include "procs.h"

static int grandchild_main(int sock, void *arg)
{
	struct memory *m = arg;

	EQ(m->p[0], 1);
	EQ(m->p[m->unit], 12);
	EQ(m->p[2 * m->unit], 13);
	m->p[0] = 21;
	m->p[m->unit] = 22;
	tell(sock, 0);
	hear(sock);
	EQ(m->p[0], 21);
	EQ(m->p[m->unit], 22);
	EQ(m->p[2 * m->unit], 13);
	return 0;
}

static int child_main(int sock, void *arg)
{
	struct memory *m = arg;

	m->p[m->unit] = 12;
	m->p[2 * m->unit] = 13;
	struct peer child = peer_start(grandchild_main, m);
	hear(child.sock);
	EQ(m->p[0], 1);
	EQ(m->p[m->unit], 12);
	m->p[2 * m->unit] = 14;
	tell(sock, 0);
	hear(sock);
	tell(child.sock, 0);
	peer_end(&child);
	EQ(m->p[0], 1);
	EQ(m->p[m->unit], 12);
	EQ(m->p[2 * m->unit], 14);
	return 0;
}

static void check(struct memory *m)
{
	int fd = uffd_open(0);

	need_spare(m->kind, 9);
	REGISTERS(fd, m, MISSING);
	DONE(copy(fd, m->p, source(m, 3, 1), 3 * m->unit, 0), 3 * m->unit);
	struct peer child = peer_start(child_main, m);
	hear(child.sock);
	memset(m->p, 2, m->len);
	tell(child.sock, 0);
	peer_end(&child);
	CHECK(all(m->p, m->len, 2));
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	return each(ANON | MEMFD_PRIVATE | HUGE_PRIVATE, 3, check);
}
