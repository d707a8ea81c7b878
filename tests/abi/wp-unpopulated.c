/* SPDX-License-Identifier: MIT */
/* With WP_UNPOPULATED an empty page is marked: a read keeps the mark, a write reports it. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(UFFD_FEATURE_WP_UNPOPULATED);
	char *p = map(4);
	EQ(reg(fd, p, 4 * PG, WP), 0);
	EQ(protect(fd, p, 3 * PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	EQ(pagemap(p) & (PM_UFFD_WP | PM_SWAP | PM_PRESENT), PM_UFFD_WP | PM_SWAP);
	EQ(pagemap(p + 3 * PG) & (PM_UFFD_WP | PM_SWAP | PM_PRESENT), 0);

	EQ(p[0], 0);
	CHECK(quiet(fd));
	EQ(pagemap(p) & (PM_UFFD_WP | PM_SWAP | PM_PRESENT), PM_UFFD_WP | PM_PRESENT);
	for (int i = 0; i < 2; i++) {
		writer(&t, p + i * PG, 7);
		FAULT(fd, p + i * PG, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
		EQ(protect(fd, p + i * PG, PG, 0), 0);
		join(&t);
		EQ(p[i * PG], 7);
	}
	/* Clearing an empty page's mark empties it. */
	EQ(protect(fd, p + 2 * PG, PG, 0), 0);
	EQ(pagemap(p + 2 * PG) & (PM_UFFD_WP | PM_SWAP | PM_PRESENT), 0);
	p[2 * PG] = 1;
	p[3 * PG] = 1;
	CHECK(quiet(fd));
	return 0;
}
