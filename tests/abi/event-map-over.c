/* SPDX-License-Identifier: MIT */
/* mmap with MAP_FIXED over registered memory is an unmapping; the new memory is not registered. */
#include "abi.h"

int main(void)
{
	struct call c;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_UNMAP);
	char *p = map(4);
	EQ(reg(fd, p, 4 * PG, MISSING), 0);
	DONE(copy(fd, p + PG, page_of(1), PG, 0), PG);
	call_map_over(&c, p + PG, 2 * PG);
	EVENT(fd, UFFD_EVENT_UNMAP, p + PG, p + 3 * PG, 0);
	EQ(returned(&c), (long)(p + PG));
	CHECK(all(p + PG, 2 * PG, 0));
	p[PG] = 1;
	CHECK(quiet(fd));
	FAILS(copy(fd, p + PG, page_of(1), PG, 0), ENOENT);
	DONE(copy(fd, p, page_of(1), PG, 0), PG);
	DONE(copy(fd, p + 3 * PG, page_of(1), PG, 0), PG);
	return 0;
}
