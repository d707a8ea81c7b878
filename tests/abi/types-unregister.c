/* SPDX-License-Identifier: MIT */
/* UNREGISTER in the middle: outside of it faults are reported still. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0), other = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	EQ(reg(other, m->p, u, MISSING), EBUSY);
	EQ(unreg(fd, m->p + u, u), 0);
	memset(m->p + u, 1, u);
	CHECK(quiet(fd));
	FAILS(copy(fd, m->p + u, source(m, 1, 1), u, 0), ENOENT);
	for (int i = 0; i < 3; i += 2) {
		reader(&t, m->p + i * u);
		FAULT(fd, m->p + i * u, 0);
		DONE(copy(fd, m->p + i * u, source(m, 1, 3), u, 0), u);
		join(&t);
		EQ(t.byte, 3);
	}
	EQ(unreg(fd, m->p, m->len), 0);
	EQ(reg(other, m->p, m->len, MISSING), 0);
	EQ(madvise(m->p, m->len, MADV_DONTNEED), 0);
	if (!(m->kind & SHARED)) {
		reader(&t, m->p);
		FAULT(other, m->p, 0);
		DONE(copy(other, m->p, source(m, 1, 4), u, 0), u);
		join(&t);
		EQ(t.byte, 4);
	} else {
		EQ(m->p[0], 3);
	}
	CHECK(quiet(fd));
	close(fd);
	close(other);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(SHMEM | HUGE, 3, check);
}
