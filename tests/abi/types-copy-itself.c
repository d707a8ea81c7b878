/* SPDX-License-Identifier: MIT */
/* COPY from another mapping of the same page of the file: to read it is to make it. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	if (m->kind & SHARED)
		FAILS(copy(fd, m->p, m->view, u, 0), EEXIST);
	else
		DONE(copy(fd, m->p, m->view, u, 0), u);
	CHECK(all(m->p, u, 0));
	file_set(m, 1, 4);
	DONE(copy(fd, m->p + 2 * u, m->view + u, u, 0), u);
	CHECK(all(m->p + 2 * u, u, 4));
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(VIEWED, 3, check);
}
