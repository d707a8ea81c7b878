/* SPDX-License-Identifier: MIT */
/* Poison is inherited, registered or not; either side can replace its own. */
#include "procs.h"

static int child_main(int sock, void *arg)
{
	struct memory *m = arg;
	size_t u = m->unit;

	(void)sock;
	EQ(try_read(m->p, NULL), SIGBUS);
	EQ(try_write(m->p + u, 1, NULL), SIGBUS);
	EQ(m->p[2 * u], 0);
	EQ(madvise(m->p, u, MADV_DONTNEED), 0);
	EQ(try_read(m->p, NULL), 0);
	EQ(m->p[0], 0);
	return 0;
}

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;

	need_spare(m->kind, 6);
	REGISTERS(fd, m, MISSING);
	DONE(poison(fd, m->p, 2 * u, 0), 2 * u);
	struct peer child = peer_start(child_main, m);
	peer_end(&child);
	EQ(try_read(m->p, NULL), SIGBUS);
	DONE(copy(fd, m->p, source(m, 1, 9), u, 0), u);
	EQ(m->p[0], 9);
	EQ(try_read(m->p + u, NULL), SIGBUS);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_POISON);
	return each(ANON | MEMFD_PRIVATE | HUGE_PRIVATE, 3, check);
}
