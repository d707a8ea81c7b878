/* SPDX-License-Identifier: MIT */
/* Seals of a memfd: it can be filled though it may not change its size, and not written later. */
#include "kinds.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 16
#endif

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	EQ(fcntl(m->file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	DONE(copy(fd, m->p, source(m, 1, 3), u, 0), u);
	CHECK(all(m->p, u, 3));
	ERR(ftruncate(m->file, u), EPERM);
	ERR(ftruncate(m->file, 8 * u), EPERM);
	CHECK(all(m->p, u, 3));
	/* Nobody may write it by a mapping made from now on; this one was there before. */
	EQ(fcntl(m->file, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
	DONE(copy(fd, m->p + u, source(m, 1, 4), u, 0), u);
	CHECK(all(m->p + u, u, 4));
	m->p[u] = 5;
	if (m->kind & SHARED)
		EQ(m->view[u], 5);
	/* A hole is a change too. */
	ERR(fallocate(m->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, u), EPERM);
	EQ(m->p[0], 3);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(MEMFD | MEMFD_PRIVATE | HUGE_MEMFD | HUGE_MEMFD_PRIVATE, 2, check);
}
