/* SPDX-License-Identifier: MIT */
/* A mark over a page that only the file has: the page comes protected, from a read or a write. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	file_set(m, 0, 3);
	file_set(m, 1, 4);
	REGISTERS(fd, m, MISSING | WP);
	EQ(protect(fd, m->p, m->len, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	EQ(m->p[0], 3);
	CHECK(quiet(fd));
	EQ(state(m->p), PM_PRESENT | PM_FILE | PM_UFFD_WP);
	for (int i = 0; i < 2; i++) {
		writer(&t, m->p + i * u, 5);
		FAULT(fd, m->p + i * u, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
		EQ(m->view[i * u], 3 + i);
		EQ(protect(fd, m->p + i * u, u, 0), 0);
		join(&t);
		EQ(m->p[i * u], 5);
		EQ(m->p[i * u + 1], 3 + i);
		EQ(m->view[i * u], m->kind & SHARED ? 5 : 3 + i);
	}
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(VIEWED, 2, check);
}
