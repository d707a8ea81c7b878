/* SPDX-License-Identifier: MIT */
/* fallocate gives the file pages: they are zero, but not missing. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING | MINOR);
	EQ(fallocate(m->file, 0, u, u), 0);
	reader(&t, m->p + u);
	FAULT(fd, m->p + u, UFFD_PAGEFAULT_FLAG_MINOR);
	if (m->kind & SHARED)
		FAILS(copy(fd, m->p + u, source(m, 1, 3), u, 0), EEXIST);
	DONE(cont(fd, m->p + u, u, 0), u);
	join(&t);
	EQ(t.byte, 0);
	reader(&t, m->p);
	FAULT(fd, m->p, 0);
	DONE(copy(fd, m->p, source(m, 1, 4), u, 0), u);
	join(&t);
	EQ(t.byte, 4);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
	return each(WITH_FD, 2, check);
}
