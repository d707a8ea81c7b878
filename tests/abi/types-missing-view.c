/* SPDX-License-Identifier: MIT */
/* A mapping that is not registered makes pages as always; the registered one then has them. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	EQ(m->view[5], 0);
	CHECK(quiet(fd));
	EQ(m->p[5], 0);
	CHECK(quiet(fd));
	m->p[5] = 1;
	EQ(m->view[5], !!(m->kind & SHARED));
	m->view[u] = 2;
	EQ(m->p[u], 2);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(VIEWED & ~HUGE_MEMFD_PRIVATE, 2, check);
}
