/* SPDX-License-Identifier: MIT */
/* The file ends in the middle of a page: that page can be had, the next cannot. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);

	EQ(ftruncate(m->file, PG + 10), 0);
	REGISTERS(fd, m, MISSING);
	reader(&t, m->p + 2 * PG - 1);
	FAULT(fd, m->p + PG, 0);
	DONE(copy(fd, m->p + PG, page_of(3), PG, 0), PG);
	join(&t);
	EQ(t.byte, 3);
	EQ(lseek(m->file, 0, SEEK_END), PG + 10);
	FAILS(copy(fd, m->p + 2 * PG, page_of(3), PG, 0), EFAULT);
	EQ(try_read(m->p + 2 * PG, NULL), SIGBUS);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM);
	return each(WITH_FD & SHMEM, 3, check);
}
