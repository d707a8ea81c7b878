/* SPDX-License-Identifier: MIT */
/* MOVE is for private anonymous memory on both sides. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;
	struct memory anon;

	CHECK(memory_map(&anon, ANON, 2 * u / PG));
	/* Aligned to the unit, so that nothing but the kind is wrong. */
	char *src = memset((char *)(((uintptr_t)anon.p + u - 1) & -u), 1, u);

	REGISTERS(fd, m, MISSING);
	EQ(reg(fd, src, u, MISSING), 0);
	FAILS(move(fd, m->p, src, u, 0), EINVAL);
	CHECK(all(src, u, 1));
	EQ(state(m->p), 0);
	DONE(copy(fd, m->p, src, u, 0), u);
	FAILS(move(fd, m->p + u, m->p, u, 0), EINVAL);
	EQ(madvise(src, u, MADV_DONTNEED), 0);
	FAILS(move(fd, src, m->p, u, 0), EINVAL);
	CHECK(all(m->p, u, 1));
	EQ(state(m->p + u), 0);
	CHECK(quiet(fd));
	close(fd);
	memory_unmap(&anon);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MOVE);
	return each(SHMEM | HUGE, 2, check);
}
