/* SPDX-License-Identifier: MIT */
/* What is mapped when the range is registered does not fault, in any mode. */
#include "kinds.h"

static void check(struct memory *m)
{
	size_t u = m->unit;

	for (uint64_t modes = 1; modes < 8; modes++) {
		int fd = uffd_open(0);
		EQ(madvise(m->p, m->len, MADV_DONTNEED), 0);
		memset(m->p, 3, u);
		(void)*(volatile char *)(m->p + u);
		REGISTERS(fd, m, modes);
		CHECK(all(m->p, u, 3));
		m->p[0] = 4;
		(void)*(volatile char *)(m->p + u);
		CHECK(quiet(fd));
		FAILS(copy(fd, m->p, source(m, 1, 1), u, 0), EEXIST);
		m->p[u] = 5;
		CHECK(quiet(fd));
		if (m->view)
			EQ(m->view[0], m->kind & SHARED ? 4 : 0);
		close(fd);
		EQ(m->p[0], 4);
	}
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_MINOR_SHMEM);
	return each(SHMEM | HUGE, 2, check);
}
