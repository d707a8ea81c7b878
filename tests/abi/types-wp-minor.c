/* SPDX-License-Identifier: MIT */
/* Minor faults over a mark: first the page is asked for, then the write to it. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	file_set(m, 0, 3);
	file_set(m, 1, 4);
	REGISTERS(fd, m, MINOR | WP);
	EQ(protect(fd, m->p, m->len, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	writer(&t, m->p, 5);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_MINOR);
	DONE(cont(fd, m->p, u, UFFDIO_COPY_MODE_WP), u);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	EQ(protect(fd, m->p, u, 0), 0);
	join(&t);
	EQ(m->p[0], 5);

	/* Without MODE_WP the mark is gone. */
	writer(&t, m->p + u, 6);
	FAULT(fd, m->p + u, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_MINOR);
	DONE(cont(fd, m->p + u, u, 0), u);
	join(&t);
	EQ(m->p[u], 6);
	EQ(pagemap(m->p + u) & PM_UFFD_WP, 0);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_MINOR_SHMEM);
	return each(VIEWED, 2, check);
}
