/* SPDX-License-Identifier: MIT */
/* EXACT_ADDRESS: the message has the address that was touched, in pages of any size. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(UFFD_FEATURE_EXACT_ADDRESS);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING | MINOR | WP);
	reader(&t, m->p + u + 777);
	FAULT(fd, m->p + u + 777, 0);
	DONE(copy(fd, m->p + u, source(m, 1, 3), u, UFFDIO_COPY_MODE_WP), u);
	join(&t);
	EQ(t.byte, 3);
	writer(&t, m->p + 2 * u - 1, 4);
	FAULT(fd, m->p + 2 * u - 1, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	EQ(protect(fd, m->p + u, u, 0), 0);
	join(&t);
	if (m->view) {
		m->view[0] = 5;
		reader(&t, m->p + u - 3);
		FAULT(fd, m->p + u - 3, UFFD_PAGEFAULT_FLAG_MINOR);
		DONE(cont(fd, m->p, u, 0), u);
		join(&t);
		EQ(t.byte, 0);
	}
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_EXACT_ADDRESS | UFFD_FEATURE_WP_HUGETLBFS_SHMEM |
		      UFFD_FEATURE_MINOR_SHMEM);
	return each(SHMEM | HUGE, 2, check);
}
