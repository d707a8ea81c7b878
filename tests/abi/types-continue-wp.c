/* SPDX-License-Identifier: MIT */
/* CONTINUE with MODE_WP: the page is mapped protected. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	file_set(m, 0, 3);
	REGISTERS(fd, m, MINOR | WP);
	reader(&t, m->p);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_MINOR);
	DONE(cont(fd, m->p, u, UFFDIO_COPY_MODE_WP), u);
	join(&t);
	EQ(t.byte, 3);
	EQ(state(m->p), PM_PRESENT | PM_FILE | PM_UFFD_WP);
	writer(&t, m->p + 5, 4);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	/* The protection is this mapping's alone. */
	m->view[6] = 7;
	CHECK(blocked(&t));
	EQ(protect(fd, m->p, u, 0), 0);
	join(&t);
	EQ(m->p[5], 4);
	EQ(m->p[6], 7);
	EQ(m->view[5], m->kind & SHARED ? 4 : 3);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(VIEWED, 1, check);
}
