/* SPDX-License-Identifier: MIT */
/* Write protection over many pages, taken away one by one in no particular order. */
#include "abi.h"

#define PAGES 512

static void *write_all(void *arg)
{
	char *p = arg;

	for (size_t i = 0; i < PAGES; i++)
		p[i * 197 % PAGES * PG] = 2;
	return NULL;
}

int main(void)
{
	struct thread t;

	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	int fd = uffd_open(0);
	char *p = map(PAGES);
	memset(p, 1, PAGES * PG);
	EQ(reg(fd, p, PAGES * PG, WP), 0);
	EQ(protect(fd, p, PAGES * PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	run(&t, write_all, p);
	for (size_t i = 0; i < PAGES; i++) {
		char *at = p + i * 197 % PAGES * PG;
		FAULT(fd, at, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
		EQ(at[0], 1);
		EQ(protect(fd, at, PG, 0), 0);
	}
	join(&t);
	for (size_t i = 0; i < PAGES; i++) {
		EQ(p[i * PG], 2);
		EQ(p[i * PG + 1], 1);
	}
	CHECK(quiet(fd));
	return 0;
}
