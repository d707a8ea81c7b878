/* SPDX-License-Identifier: MIT */
/* COPY over a page that is in the page cache but not mapped here: there is one already. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	file_set(m, 1, 3);
	FAILS(copy(fd, m->p + u, source(m, 1, 4), u, 0), EEXIST);
	PARTLY(copy(fd, m->p, source(m, 2, 4), 2 * u, 0), u);
	EQ(state(m->p + u), 0);
	CHECK(all(m->p, u, 4));
	CHECK(all(m->p + u, u, 3));
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(SHMEM_SHARED | HUGE_MEMFD, 2, check);
}
