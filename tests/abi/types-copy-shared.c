/* SPDX-License-Identifier: MIT */
/* COPY into shared memory puts the page into the page cache, where everybody sees it. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	reader(&t, m->p + u + PG - 1);
	FAULT(fd, m->p + u, 0);
	DONE(copy(fd, m->p + u, source(m, 1, 7), u, 0), u);
	join(&t);
	EQ(t.byte, 7);
	CHECK(all(m->p + u, u, 7));
	FAILS(copy(fd, m->p + u, source(m, 1, 8), u, 0), EEXIST);
	if (m->view)
		CHECK(file_is(m, 1, 7));
	m->p[u] = 9;
	if (m->view)
		EQ(m->view[u], 9);

	writer(&t, m->p, 5);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(copy(fd, m->p, source(m, 1, 6), u, 0), u);
	join(&t);
	EQ(m->p[0], 5);
	EQ(m->p[1], 6);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(SHMEM_SHARED | HUGE_MEMFD | HUGE_SHARED, 2, check);
}
