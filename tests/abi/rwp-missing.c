/* SPDX-License-Identifier: MIT */
/* RWPROTECT does not mark empty pages: they are missing, as before. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(UFFD_FEATURE_RWP);
	char *p = map(3);
	EQ(reg(fd, p, 2 * PG, MISSING | RWP), 0);
	EQ(reg(fd, p + 2 * PG, PG, RWP), 0);
	EQ(rwprotect(fd, p, 3 * PG, UFFDIO_RWPROTECT_MODE_RWP), 0);
	EQ(pagemap(p) & (PM_PRESENT | PM_SWAP), 0);
	reader(&t, p);
	FAULT(fd, p, 0);
	DONE(copy(fd, p, page_of(3), PG, 0), PG);
	join(&t);
	EQ(t.byte, 3);
	EQ(p[2 * PG], 0);
	CHECK(quiet(fd));

	/* Protected, dropped, and then missing again. */
	EQ(rwprotect(fd, p, PG, UFFDIO_RWPROTECT_MODE_RWP), 0);
	EQ(madvise(p, PG, MADV_DONTNEED), 0);
	writer(&t, p, 1);
	FAULT(fd, p, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(zeropage(fd, p, PG, 0), PG);
	join(&t);
	return 0;
}
