/* SPDX-License-Identifier: MIT */
/* A hole punched into the file: pages of it are missing again, private copies are not. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	DONE(copy(fd, m->p, source(m, 1, 3), u, 0), u);
	DONE(copy(fd, m->p + u, source(m, 1, 4), u, 0), u);
	DONE(copy(fd, m->p + 2 * u, source(m, 1, 5), u, 0), u);
	/* Mapped from the file, not copied. */
	file_set(m, 3, 6);
	EQ(m->p[3 * u], 6);
	EQ(fallocate(m->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, u, 3 * u), 0);
	CHECK(quiet(fd));
	EQ(m->p[0], 3);
	/* In huge pages, private copies go like the file's own. */
	if (m->kind & SHMEM_PRIVATE) {
		CHECK(all(m->p + u, u, 4));
		CHECK(all(m->p + 2 * u, u, 5));
	} else {
		reader(&t, m->p + u);
		FAULT(fd, m->p + u, 0);
		DONE(copy(fd, m->p + u, source(m, 1, 7), u, 0), u);
		join(&t);
		EQ(t.byte, 7);
	}
	writer(&t, m->p + 3 * u, 8);
	FAULT(fd, m->p + 3 * u, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(copy(fd, m->p + 3 * u, source(m, 1, 9), u, 0), u);
	join(&t);
	EQ(m->p[3 * u + 1], 9);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(WITH_FD, 4, check);
}
