/* SPDX-License-Identifier: MIT */
/* The file grows under its mapping: what was beyond its end can be asked for and filled. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	EQ(ftruncate(m->file, 0), 0);
	REGISTERS(fd, m, MISSING);
	EQ(try_read(m->p, NULL), SIGBUS);
	EQ(ftruncate(m->file, u), 0);
	reader(&t, m->p);
	FAULT(fd, m->p, 0);
	DONE(copy(fd, m->p, source(m, 1, 3), u, 0), u);
	join(&t);
	EQ(t.byte, 3);
	EQ(try_read(m->p + u, NULL), SIGBUS);
	if (u == PG) {
		/* write(2) makes it longer, and leaves a hole. */
		EQ(pwrite(m->file, "x", 1, 2 * PG + 5), 1);
		EQ(m->p[2 * PG + 5], 'x');
	} else {
		EQ(ftruncate(m->file, 2 * u), 0);
	}
	reader(&t, m->p + u);
	FAULT(fd, m->p + u, 0);
	DONE(copy(fd, m->p + u, source(m, 1, 4), u, 0), u);
	join(&t);
	EQ(t.byte, 4);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(WITH_FD, 3, check);
}
