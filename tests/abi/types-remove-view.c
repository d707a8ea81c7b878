/* SPDX-License-Identifier: MIT */
/* MADV_REMOVE by another mapping of the file counts here as well. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	file_set(m, 0, 3);
	EQ(m->p[0], 3);
	CHECK(quiet(fd));
	EQ(madvise(m->view, u, MADV_REMOVE), 0);
	reader(&t, m->p);
	FAULT(fd, m->p, 0);
	DONE(copy(fd, m->p, source(m, 1, 4), u, 0), u);
	join(&t);
	EQ(t.byte, 4);
	EQ(m->view[0], m->kind & SHARED ? 4 : 0);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(VIEWED, 1, check);
}
