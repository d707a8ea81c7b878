/* SPDX-License-Identifier: MIT */
/* Other memory is mapped over a part of a registered range; the rest of it goes on. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	DONE(copy(fd, m->p + u, source(m, 1, 3), u, 0), u);
	CHECK(mmap(m->p + u, u, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		   0) == m->p + u);
	CHECK(all(m->p + u, u, 0));
	m->p[u] = 1;
	if (m->view && m->kind & SHARED)
		CHECK(file_is(m, 1, 3));
	CHECK(quiet(fd));
	for (int i = 0; i < 3; i += 2) {
		reader(&t, m->p + i * u);
		FAULT(fd, m->p + i * u, 0);
		DONE(copy(fd, m->p + i * u, source(m, 1, 4), u, 0), u);
		join(&t);
		EQ(t.byte, 4);
	}
	if (m->view && m->kind & SHARED)
		CHECK(file_is(m, 2, 4));
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(SHMEM | HUGE, 3, check);
}
