/* SPDX-License-Identifier: MIT */
/* Single pages of a huge page are protected and released one by one. */
#include "abi.h"

#define SIZE (2ul << 20)

int main(void)
{
	struct thread t;

	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	int fd = uffd_open(0);
	char *area = map(2 * SIZE / PG);
	char *p = (char *)(((uintptr_t)area + SIZE - 1) & -SIZE);
	madvise(p, SIZE, MADV_HUGEPAGE);
	memset(p, 1, SIZE);
	EQ(reg(fd, p, SIZE, WP), 0);
	EQ(protect(fd, p + 5 * PG, 2 * PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	p[4 * PG] = p[7 * PG] = 2;
	CHECK(quiet(fd));
	writer(&t, p + 6 * PG + 1, 3);
	FAULT(fd, p + 6 * PG, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	EQ(protect(fd, p, SIZE, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	EQ(protect(fd, p + 6 * PG, PG, 0), 0);
	join(&t);
	for (size_t i = 0; i < SIZE / PG; i++)
		EQ(!!(pagemap(p + i * PG) & PM_UFFD_WP), i != 6);
	EQ(protect(fd, p, SIZE, 0), 0);
	memset(p, 4, SIZE);
	CHECK(quiet(fd));
	return 0;
}
