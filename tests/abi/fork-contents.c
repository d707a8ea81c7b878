/* SPDX-License-Identifier: MIT */
/* After fork both sides have the contents, and neither sees what the other writes. */
#include "procs.h"

static int child_main(int sock, void *arg)
{
	struct memory *m = arg;
	size_t u = m->unit;

	for (int i = 0; i < 3; i++)
		CHECK(all(m->p + i * u, u, i + 1));
	memset(m->p + u, 12, u);
	tell(sock, 0);
	hear(sock);
	/* The parent has written all three. */
	CHECK(all(m->p, u, 1));
	CHECK(all(m->p + u, u, 12));
	CHECK(all(m->p + 2 * u, u, 3));
	memset(m->p + 2 * u, 13, u);
	tell(sock, 0);
	hear(sock);
	CHECK(all(m->p + 2 * u, u, 13));
	return 0;
}

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;

	need_spare(m->kind, 6);
	REGISTERS(fd, m, MISSING);
	for (int i = 0; i < 3; i++)
		DONE(copy(fd, m->p + i * u, source(m, 1, i + 1), u, 0), u);
	struct peer child = peer_start(child_main, m);
	hear(child.sock);
	for (int i = 0; i < 3; i++)
		CHECK(all(m->p + i * u, u, i + 1));
	for (int i = 0; i < 3; i++)
		memset(m->p + i * u, 21 + i, u);
	tell(child.sock, 0);
	hear(child.sock);
	for (int i = 0; i < 3; i++)
		CHECK(all(m->p + i * u, u, 21 + i));
	tell(child.sock, 0);
	peer_end(&child);
	for (int i = 0; i < 3; i++)
		CHECK(all(m->p + i * u, u, 21 + i));
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	return each(ANON | SHMEM_PRIVATE | HUGE_MEMFD_PRIVATE | HUGE_PRIVATE, 3, check);
}
