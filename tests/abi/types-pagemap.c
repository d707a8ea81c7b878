/* SPDX-License-Identifier: MIT */
/* What pagemap tells of pages, protected pages and marks. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;
	uint64_t file = m->kind & SHARED ? PM_FILE : 0, mark = u == PG ? PM_SWAP : 0;

	REGISTERS(fd, m, MISSING | WP);
	DONE(copy(fd, m->p, source(m, 1, 3), u, 0), u);
	DONE(copy(fd, m->p + u, source(m, 1, 3), u, UFFDIO_COPY_MODE_WP), u);
	EQ(protect(fd, m->p + 2 * u, u, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	DONE(poison(fd, m->p + 3 * u, u, 0), u);
	/* The first and the last small page of each tell the same. */
	for (size_t at = 0; at < u; at += u == PG ? PG : u - PG) {
		EQ(state(m->p + at), PM_PRESENT | file);
		EQ(state(m->p + u + at), PM_PRESENT | file | PM_UFFD_WP);
		EQ(state(m->p + 2 * u + at), mark | PM_UFFD_WP);
		EQ(state(m->p + 3 * u + at), mark);
		EQ(state(m->p + 4 * u + at), 0);
	}
	close(fd);
	EQ(state(m->p + u), PM_PRESENT | file);
	EQ(state(m->p + 2 * u), 0);
	EQ(state(m->p + 3 * u), mark);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_POISON);
	return each(SHMEM | HUGE, 5, check);
}
