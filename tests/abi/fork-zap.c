/* SPDX-License-Identifier: MIT */
/* What one side drops, unmaps or moves away, the other still has. */
#include "procs.h"

static int child_main(int sock, void *arg)
{
	struct memory *m = arg;
	size_t u = m->unit;

	EQ(madvise(m->p, u, MADV_DONTNEED), 0);
	EQ(m->p[0], 0);
	char *q = memory_place(m);
	CHECK(mremap(m->p + u, u, u, MREMAP_MAYMOVE | MREMAP_FIXED, q) == q);
	CHECK(all(q, u, 1));
	memset(q, 2, u);
	tell(sock, 0);
	hear(sock);
	CHECK(all(m->p + 2 * u, u, 1));
	CHECK(all(m->p + 3 * u, u, 1));
	CHECK(all(q, u, 2));
	EQ(munmap(m->p + 2 * u, u), 0);
	return 0;
}

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;
	struct thread t;

	need_spare(m->kind, 8);
	REGISTERS(fd, m, MISSING);
	DONE(copy(fd, m->p, source(m, 4, 1), 4 * u, 0), 4 * u);
	struct peer child = peer_start(child_main, m);
	hear(child.sock);
	CHECK(all(m->p, 4 * u, 1));
	EQ(madvise(m->p + 2 * u, u, MADV_DONTNEED), 0);
	EQ(munmap(m->p + 3 * u, u), 0);
	reader(&t, m->p + 2 * u);
	FAULT(fd, m->p + 2 * u, 0);
	DONE(copy(fd, m->p + 2 * u, source(m, 1, 3), u, 0), u);
	join(&t);
	EQ(t.byte, 3);
	tell(child.sock, 0);
	peer_end(&child);
	CHECK(all(m->p, 2 * u, 1));
	CHECK(all(m->p + 2 * u, u, 3));
	close(fd);
}

int main(void)
{
	start();
	return each(ANON | HUGE_PRIVATE, 4, check);
}
