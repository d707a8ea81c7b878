/* SPDX-License-Identifier: MIT */
/* Advice that drops nothing leaves contents, marks and registration as they were. */
#include "abi.h"

#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

int main(void)
{
	static const int advices[] = {
		MADV_NORMAL,   MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED,
		MADV_DONTFORK, MADV_DOFORK, MADV_NOHUGEPAGE, MADV_DONTDUMP,
		MADV_DODUMP,   MADV_COLD,   MADV_PAGEOUT,
	};
	struct thread t;

	start();
	int fd = uffd_open(UFFD_FEATURE_WP_UNPOPULATED);
	char *p = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING | WP), 0);
	DONE(copy(fd, p, page_of(4), PG, UFFDIO_COPY_MODE_WP), PG);
	for (size_t i = 0; i < sizeof advices / sizeof *advices; i++) {
		EQ(madvise(p, 3 * PG, advices[i]), 0);
		CHECK(quiet(fd));
		EQ(p[i], 4);
	}
	CHECK(pagemap(p) & PM_UFFD_WP);
	writer(&t, p, 5);
	FAULT(fd, p, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	EQ(protect(fd, p, PG, 0), 0);
	join(&t);
	reader(&t, p + PG);
	FAULT(fd, p + PG, 0);
	DONE(zeropage(fd, p + PG, PG, 0), PG);
	join(&t);
	ERR(madvise(p, PG, 9999), EINVAL);
	return 0;
}
