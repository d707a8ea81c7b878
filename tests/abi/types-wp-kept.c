/* SPDX-License-Identifier: MIT */
/* The protection outlives mprotect, on pages and on marks. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	memset(m->p, 3, u);
	REGISTERS(fd, m, WP);
	EQ(protect(fd, m->p, m->len, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	EQ(mprotect(m->p, m->len, PROT_READ), 0);
	EQ(try_write(m->p, 1, NULL), SIGSEGV);
	EQ(mprotect(m->p, m->len, PROT_NONE), 0);
	EQ(mprotect(m->p, m->len, PROT_READ | PROT_WRITE), 0);
	for (int i = 0; i < 2; i++) {
		CHECK(pagemap(m->p + i * u) & PM_UFFD_WP);
		writer(&t, m->p + i * u, 5);
		FAULT(fd, m->p + i * u, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
		EQ(protect(fd, m->p + i * u, u, 0), 0);
		join(&t);
		EQ(m->p[i * u], 5);
	}
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(SHMEM | HUGE, 2, check);
}
