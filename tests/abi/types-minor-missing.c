/* SPDX-License-Identifier: MIT */
/* MISSING and MINOR together: the message says whether the file has the page. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	file_set(m, 1, 4);
	REGISTERS(fd, m, MISSING | MINOR);
	reader(&t, m->p);
	FAULT(fd, m->p, 0);
	CHECK(blocked(&t));
	/* It comes to have one: the same access is a minor fault now. */
	file_set(m, 0, 3);
	EQ(wake(fd, m->p, u), 0);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_MINOR);
	DONE(cont(fd, m->p, u, 0), u);
	join(&t);
	EQ(t.byte, 3);

	writer(&t, m->p + u, 5);
	FAULT(fd, m->p + u, UFFD_PAGEFAULT_FLAG_MINOR | UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(cont(fd, m->p + u, u, 0), u);
	join(&t);
	EQ(m->p[u], 5);

	writer(&t, m->p + 2 * u, 6);
	FAULT(fd, m->p + 2 * u, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(copy(fd, m->p + 2 * u, source(m, 1, 7), u, 0), u);
	join(&t);
	EQ(m->p[2 * u], 6);
	EQ(m->p[2 * u + 1], 7);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
	return each(VIEWED, 3, check);
}
