/* SPDX-License-Identifier: MIT */
/* Threads wait for one page of a file through two mappings: each is woken by its own. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread a, b;
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	EQ(reg(fd, m->view, m->len, MISSING), 0);
	reader(&a, m->p);
	FAULT(fd, m->p, 0);
	reader(&b, m->view);
	FAULT(fd, m->view, 0);
	CHECK(blocked(&b));
	DONE(copy(fd, m->p, source(m, 1, 3), u, 0), u);
	join(&a);
	CHECK(blocked(&b));
	FAILS(copy(fd, m->view, source(m, 1, 4), u, 0), EEXIST);
	EQ(wake(fd, m->view, u), 0);
	join(&b);
	EQ(a.byte, 3);
	EQ(b.byte, 3);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(SHMEM_SHARED | HUGE_MEMFD, 1, check);
}
