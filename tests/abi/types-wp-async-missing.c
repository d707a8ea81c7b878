/* SPDX-License-Identifier: MIT */
/* WP_ASYNC with MISSING: the page is asked for, the write to it is not. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(UFFD_FEATURE_WP_ASYNC);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING | WP);
	EQ(protect(fd, m->p, m->len, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	writer(&t, m->p, 1);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(copy(fd, m->p, source(m, 1, 3), u, UFFDIO_COPY_MODE_WP), u);
	join(&t);
	EQ(m->p[0], 1);
	EQ(m->p[1], 3);
	EQ(pagemap(m->p) & PM_UFFD_WP, 0);
	reader(&t, m->p + u);
	FAULT(fd, m->p + u, 0);
	DONE(copy(fd, m->p + u, source(m, 1, 4), u, UFFDIO_COPY_MODE_WP), u);
	join(&t);
	CHECK(pagemap(m->p + u) & PM_UFFD_WP);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_ASYNC);
	return each(SHMEM | HUGE, 2, check);
}
