/* SPDX-License-Identifier: MIT */
/* A page that the file has is not missing: it is mapped without a message. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	file_set(m, 0, 3);
	file_set(m, 1, 4);
	CHECK(all(m->p, u, 3));
	m->p[u] = 5;
	CHECK(quiet(fd));
	EQ(m->view[u], m->kind & SHARED ? 5 : 4);
	EQ(m->p[u + 1], 4);

	/* A page of which one byte was stored is there as a whole. */
	m->view[2 * u + 9] = 7;
	EQ(m->p[2 * u + 9], 7);
	EQ(m->p[2 * u], 0);
	CHECK(quiet(fd));

	/* What is not there is reported still. */
	reader(&t, m->p + 3 * u);
	FAULT(fd, m->p + 3 * u, 0);
	/* The file gets its page while the thread waits: enough to wake it. */
	file_set(m, 3, 6);
	EQ(wake(fd, m->p + 3 * u, u), 0);
	join(&t);
	EQ(t.byte, 6);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(VIEWED, 4, check);
}
