/* SPDX-License-Identifier: MIT */
/* A marked page that is missing: first its contents are asked for, then the write. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING | WP);
	EQ(protect(fd, m->p, m->len, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	/* The page comes without protection unless COPY asks for it. */
	writer(&t, m->p, 1);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(copy(fd, m->p, source(m, 1, 3), u, 0), u);
	join(&t);
	EQ(m->p[0], 1);
	EQ(pagemap(m->p) & PM_UFFD_WP, 0);

	writer(&t, m->p + u, 2);
	FAULT(fd, m->p + u, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(copy(fd, m->p + u, source(m, 1, 4), u, UFFDIO_COPY_MODE_WP), u);
	FAULT(fd, m->p + u, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	EQ(protect(fd, m->p + u, u, 0), 0);
	join(&t);
	EQ(m->p[u], 2);
	EQ(m->p[u + 1], 4);

	reader(&t, m->p + 2 * u);
	FAULT(fd, m->p + 2 * u, 0);
	DONE(copy(fd, m->p + 2 * u, source(m, 1, 5), u, UFFDIO_COPY_MODE_WP), u);
	join(&t);
	CHECK(pagemap(m->p + 2 * u) & PM_UFFD_WP);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(SHMEM | HUGE, 3, check);
}
