/* SPDX-License-Identifier: MIT */
/* write(2) to the file goes past the protection of a mapping, and is seen under it. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);

	file_set(m, 0, 3);
	EQ(m->p[0], 3);
	REGISTERS(fd, m, WP);
	EQ(protect(fd, m->p, m->len, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	EQ(pwrite(m->file, "w", 1, 7), 1);
	EQ(pwrite(m->file, "w", 1, PG + 7), 1);
	EQ(m->p[7], 'w');
	EQ(m->p[PG + 7], 'w');
	CHECK(pagemap(m->p) & PM_UFFD_WP);
	CHECK(pagemap(m->p + PG) & PM_UFFD_WP);
	writer(&t, m->p, 4);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	EQ(pwrite(m->file, "v", 1, 7), 1);
	EQ(protect(fd, m->p, PG, 0), 0);
	join(&t);
	EQ(m->p[0], 4);
	EQ(m->p[7], 'v');
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(WITH_FD & SHMEM, 2, check);
}
