/* SPDX-License-Identifier: MIT */
/* A registered mapping of a part of the file grows in place: the new part is registered too. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	EQ(munmap(m->p + u, m->len - u), 0);
	EQ(reg(fd, m->p, u, MISSING), 0);
	DONE(copy(fd, m->p, source(m, 1, 3), u, 0), u);
	EQ((long)mremap(m->p, u, 2 * u, 0), (long)m->p);
	file_set(m, 1, 4);
	EQ(m->p[u], 4);
	EQ((long)mremap(m->p, 2 * u, 3 * u, 0), (long)m->p);
	EQ(m->p[0], 3);
	reader(&t, m->p + 2 * u);
	FAULT(fd, m->p + 2 * u, 0);
	DONE(copy(fd, m->p + 2 * u, source(m, 1, 5), u, 0), u);
	join(&t);
	EQ(t.byte, 5);
	if (m->kind & SHARED)
		CHECK(file_is(m, 2, 5));

	/* And it shrinks. */
	EQ((long)mremap(m->p, 3 * u, u, 0), (long)m->p);
	EQ(try_read(m->p + u, NULL), SIGSEGV);
	EQ(m->p[0], 3);
	CHECK(quiet(fd));
	close(fd);
	EQ(munmap(m->p, u), 0);
	m->p = NULL;
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM);
	return each(MEMFD | TMPFS | MEMFD_PRIVATE | TMPFS_PRIVATE, 3, check);
}
