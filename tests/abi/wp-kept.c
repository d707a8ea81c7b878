/* SPDX-License-Identifier: MIT */
/* The mark outlives mprotect, and goes with MADV_DONTNEED. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	int fd = uffd_open(0);
	char *p = map(2);
	memset(p, 1, 2 * PG);
	EQ(reg(fd, p, 2 * PG, WP), 0);
	EQ(protect(fd, p, 2 * PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	EQ(mprotect(p, PG, PROT_READ), 0);
	CHECK(pagemap(p) & PM_UFFD_WP);
	EQ(try_write(p, 1, NULL), SIGSEGV);
	EQ(mprotect(p, PG, PROT_NONE), 0);
	EQ(mprotect(p, PG, PROT_READ | PROT_WRITE), 0);
	CHECK(pagemap(p) & PM_UFFD_WP);
	writer(&t, p, 2);
	FAULT(fd, p, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	EQ(protect(fd, p, PG, 0), 0);
	join(&t);

	EQ(madvise(p + PG, PG, MADV_DONTNEED), 0);
	EQ(pagemap(p + PG) & (PM_UFFD_WP | PM_PRESENT | PM_SWAP), 0);
	p[PG] = 2;
	CHECK(quiet(fd));
	return 0;
}
