/* SPDX-License-Identifier: MIT */
/* EVENT_REMAP: a move reports where from and where to; registration and marks move along. */
#include "abi.h"

int main(void)
{
	struct thread t;
	struct call c;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_WP_UNPOPULATED);
	char *p = map(4), *to = map(4);
	EQ(reg(fd, p, 4 * PG, MISSING | WP), 0);
	DONE(copy(fd, p + PG, page_of(5), PG, UFFDIO_COPY_MODE_WP), PG);
	EQ(protect(fd, p + 2 * PG, PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	call_mremap(&c, p, 4 * PG, 4 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	EVENT(fd, UFFD_EVENT_REMAP, p, to, 4 * PG);
	EQ(returned(&c), (long)to);
	CHECK(quiet(fd));

	EQ(to[PG], 5);
	CHECK(pagemap(to + PG) & PM_UFFD_WP);
	CHECK(pagemap(to + 2 * PG) & PM_UFFD_WP);
	writer(&t, to + PG, 6);
	FAULT(fd, to + PG, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	EQ(protect(fd, to + PG, PG, 0), 0);
	join(&t);
	reader(&t, to);
	FAULT(fd, to, 0);
	DONE(copy(fd, to, page_of(4), PG, 0), PG);
	join(&t);
	EQ(t.byte, 4);
	EQ(try_read(p + PG, NULL), SIGSEGV);
	return 0;
}
