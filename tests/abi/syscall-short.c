/* SPDX-License-Identifier: MIT */
/* A system call that moves less than its buffer holds touches no more pages than it needs. */
#include "abi.h"

#define PAGES 64

int main(void)
{
	int pipes[2];

	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	int fd = uffd_open(0);
	char *p = map(PAGES);
	EQ(reg(fd, p, PAGES * PG, MISSING), 0);
	EQ(unreg(fd, p, PAGES * PG), 0);
	EQ(pipe(pipes), 0);

	/* Memory that was registered once, and is empty. */
	EQ(write(pipes[1], "hello", 5), 5);
	EQ(read(pipes[0], p, PAGES * PG), 5);
	CHECK(memcmp(p, "hello", 5) == 0);
	CHECK(pagemap(p) & PM_PRESENT);
	for (int i = 1; i < PAGES; i++)
		CHECK(!(pagemap(p + i * PG) & PM_PRESENT));
	CHECK(quiet(fd));
	return 0;
}
