/* SPDX-License-Identifier: MIT */
/* Locked memory can be registered, filled and protected; it is not dropped. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	int fd = uffd_open(0);
	char *p = map(2);
	memset(p, 1, PG);
	EQ(mlock(p, PG), 0);
	EQ(reg(fd, p, 2 * PG, MISSING | WP), 0);
	EQ(p[0], 1);
	EQ(protect(fd, p, PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	writer(&t, p, 2);
	FAULT(fd, p, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	EQ(protect(fd, p, PG, 0), 0);
	join(&t);
	ERR(madvise(p, PG, MADV_DONTNEED), EINVAL);
	EQ(p[0], 2);

	DONE(copy(fd, p + PG, page_of(3), PG, 0), PG);
	EQ(mlock(p + PG, PG), 0);
	EQ(p[PG], 3);
	p[PG] = 4;
	EQ(munlock(p, 2 * PG), 0);
	EQ(p[PG], 4);
	EQ(madvise(p, PG, MADV_DONTNEED), 0);
	CHECK(!populated(p));
	reader(&t, p);
	FAULT(fd, p, 0);
	DONE(zeropage(fd, p, PG, 0), PG);
	join(&t);
	CHECK(quiet(fd));
	return 0;
}
