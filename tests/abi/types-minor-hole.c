/* SPDX-License-Identifier: MIT */
/* MINOR alone does not ask about pages that nobody has: they are made as always. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MINOR);
	EQ(m->p[0], 0);
	m->p[u] = 1;
	CHECK(quiet(fd));
	CHECK(all(m->p + u + 1, u - 1, 0));
	if (m->view && m->kind & SHARED)
		EQ(m->view[u], 1);
	/* Small pages come by way of the file even for private use; huge ones do not. */
	if (m->view)
		EQ(cached(m, 0), m->kind != HUGE_MEMFD_PRIVATE);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
	return each(SHMEM | HUGE, 2, check);
}
