/* SPDX-License-Identifier: MIT */
/* Two registered mappings of one file: a page that one is given is there for the other. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0), other = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	EQ(reg(other, m->view, m->len, MISSING | MINOR), 0);
	reader(&t, m->p);
	FAULT(fd, m->p, 0);
	DONE(copy(fd, m->p, source(m, 1, 3), u, 0), u);
	join(&t);
	EQ(t.byte, 3);
	reader(&t, m->view);
	FAULT(other, m->view, UFFD_PAGEFAULT_FLAG_MINOR);
	DONE(cont(other, m->view, u, 0), u);
	join(&t);
	EQ(t.byte, 3);

	reader(&t, m->view + u);
	FAULT(other, m->view + u, 0);
	DONE(copy(other, m->view + u, source(m, 1, 4), u, 0), u);
	join(&t);
	FAILS(copy(fd, m->p + u, source(m, 1, 5), u, 0), EEXIST);
	EQ(m->p[u], 4);
	m->p[u] = 6;
	EQ(m->view[u], 6);
	CHECK(quiet(fd));
	CHECK(quiet(other));
	close(fd);
	close(other);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
	return each(SHMEM_SHARED | HUGE_MEMFD, 2, check);
}
