/* SPDX-License-Identifier: MIT */
/* A system call that reaches beyond the end of the file fails, and asks nobody. */
#include "kinds.h"

static void check(struct memory *m)
{
	int ends[2], fd = uffd_open(0);
	size_t u = m->unit;

	EQ(pipe2(ends, O_CLOEXEC), 0);
	EQ(ftruncate(m->file, u), 0);
	REGISTERS(fd, m, MISSING | MINOR);
	ERR(write(ends[1], m->p + u, 100), EFAULT);
	EQ(write(ends[1], page_of(1), 100), 100);
	ERR(read(ends[0], m->p + u + 9, 100), EFAULT);
	CHECK(quiet(fd));
	DONE(copy(fd, m->p, source(m, 1, 3), u, 0), u);
	EQ(write(ends[1], m->p + u - 100, 100), 100);
	ERR(write(ends[1], m->p + u, 1), EFAULT);
	CHECK(quiet(fd));
	close(ends[0]);
	close(ends[1]);
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
	return each(WITH_FD, 2, check);
}
