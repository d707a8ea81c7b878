/* SPDX-License-Identifier: MIT */
/* Marks of protection stay when a file of small pages is cut off; in huge pages they go. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;
	uint64_t mark = u == PG ? PM_SWAP | PM_UFFD_WP : 0;

	file_set(m, 2, 6);
	REGISTERS(fd, m, MISSING | WP);
	DONE(copy(fd, m->p, source(m, 1, 3), u, UFFDIO_COPY_MODE_WP), u);
	EQ(protect(fd, m->p + u, u, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	DONE(cont(fd, m->p + 2 * u, u, UFFDIO_COPY_MODE_WP), u);
	DONE(copy(fd, m->p + 3 * u, source(m, 1, 3), u, 0), u);
	EQ(ftruncate(m->file, 0), 0);
	for (int grown = 0; grown < 2; grown++) {
		for (int i = 0; i < 3; i++)
			EQ(state(m->p + i * u), mark);
		EQ(state(m->p + 3 * u), 0);
		EQ(ftruncate(m->file, m->len), 0);
	}
	close(fd);
	EQ(state(m->p), 0);
	CHECK(all(m->p, m->len, 0));
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(WITH_FD, 4, check);
}
