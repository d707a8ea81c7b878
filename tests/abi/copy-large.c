/* SPDX-License-Identifier: MIT */
/* COPY of many pages at once, over memory that was partly used before. */
#include "abi.h"

#define PAGES 3000

int main(void)
{
	start();
	int fd = uffd_open(0);
	char *p = map(PAGES), *src = map(PAGES);
	for (size_t i = 0; i < PAGES; i++)
		memset(src + i * PG, i * 7, PG);
	EQ(reg(fd, p, PAGES * PG, MISSING), 0);
	DONE(copy(fd, p, src, PAGES * PG, 0), PAGES * PG);
	EQ(memcmp(p, src, PAGES * PG), 0);

	/* Thrown away and filled again with something else. */
	EQ(madvise(p + 100 * PG, 1000 * PG, MADV_DONTNEED), 0);
	DONE(copy(fd, p + 100 * PG, src + 1, 1000 * PG, 0), 1000 * PG);
	EQ(memcmp(p, src, 100 * PG), 0);
	EQ(memcmp(p + 100 * PG, src + 1, 1000 * PG), 0);
	EQ(memcmp(p + 1100 * PG, src + 1100 * PG, (PAGES - 1100) * PG), 0);
	CHECK(quiet(fd));
	return 0;
}
