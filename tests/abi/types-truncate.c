/* SPDX-License-Identifier: MIT */
/* Truncation takes the pages beyond the end, private copies too; when it grows they are missing. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	for (int i = 0; i < 3; i++)
		DONE(copy(fd, m->p + i * u, source(m, 1, 3 + i), u, 0), u);
	EQ(ftruncate(m->file, u), 0);
	CHECK(all(m->p, u, 3));
	EQ(try_read(m->p + u, NULL), SIGBUS);
	EQ(try_write(m->p + 2 * u, 1, NULL), SIGBUS);
	CHECK(quiet(fd));
	EQ(ftruncate(m->file, 3 * u), 0);
	for (int i = 1; i < 3; i++) {
		reader(&t, m->p + i * u);
		FAULT(fd, m->p + i * u, 0);
		DONE(copy(fd, m->p + i * u, source(m, 1, 7), u, 0), u);
		join(&t);
		EQ(t.byte, 7);
	}
	EQ(m->p[0], 3);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(WITH_FD, 3, check);
}
