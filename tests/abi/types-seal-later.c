/* SPDX-License-Identifier: MIT */
/* A file can be sealed against writing once it is mapped nowhere, though it was registered. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	DONE(copy(fd, m->p, source(m, 1, 3), u, 0), u);
	EQ(munmap(m->view, m->len), 0);
	m->view = NULL;
	ERR(fcntl(m->file, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
	EQ(munmap(m->p, m->len), 0);
	m->p = NULL;
	EQ(fcntl(m->file, F_ADD_SEALS, F_SEAL_WRITE), 0);
	char byte;
	EQ(pread(m->file, &byte, 1, u - 1), 1);
	EQ(byte, 3);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(MEMFD | HUGE_MEMFD, 2, check);
}
