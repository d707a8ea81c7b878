/* SPDX-License-Identifier: MIT */
/* Private memory of a file: pages of its own are copied, the others are the file's on both sides.
 */
#include "procs.h"

static int child_main(int sock, void *arg)
{
	struct memory *m = arg;
	size_t u = m->unit;

	EQ(m->p[0], 1);
	EQ(m->p[u], 2);
	m->p[u] = 3;
	tell(sock, 0);
	hear(sock);
	EQ(m->p[0], 1);
	EQ(m->p[u], 3);
	/* Untouched so far: what the file has now. */
	EQ(m->p[2 * u], 6);
	return 0;
}

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;

	need_spare(m->kind, 6);
	file_set(m, 1, 2);
	file_set(m, 2, 5);
	REGISTERS(fd, m, MISSING);
	DONE(copy(fd, m->p, source(m, 1, 1), u, 0), u);
	EQ(m->p[u], 2);
	struct peer child = peer_start(child_main, m);
	hear(child.sock);
	EQ(m->p[u], 2);
	m->p[0] = 9;
	file_set(m, 2, 6);
	EQ(m->p[2 * u], 6);
	m->p[2 * u] = 10;
	tell(child.sock, 0);
	peer_end(&child);
	EQ(m->p[0], 9);
	EQ(m->p[u], 2);
	EQ(m->p[2 * u], 10);
	CHECK(file_is(m, 1, 2));
	CHECK(file_is(m, 2, 6));
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	return each(SHMEM_PRIVATE | HUGE_MEMFD_PRIVATE, 3, check);
}
