/* SPDX-License-Identifier: MIT */
/* Shrinking by mremap unmaps the end. */
#include "abi.h"

int main(void)
{
	struct call c;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_UNMAP);
	char *p = map(4);
	EQ(reg(fd, p, 4 * PG, MISSING), 0);
	DONE(copy(fd, p, page_of(5), PG, 0), PG);
	DONE(copy(fd, p + 2 * PG, page_of(5), PG, 0), PG);
	call_mremap(&c, p, 4 * PG, 2 * PG, 0, NULL);
	EVENT(fd, UFFD_EVENT_UNMAP, p + 2 * PG, p + 4 * PG, 0);
	EQ(returned(&c), (long)p);
	CHECK(quiet(fd));
	EQ(p[0], 5);
	EQ(try_read(p + 2 * PG, NULL), SIGSEGV);
	DONE(copy(fd, p + PG, page_of(5), PG, 0), PG);

	/* Without the features, in silence. */
	fd = uffd_open(0);
	p = map(4);
	EQ(reg(fd, p, 4 * PG, MISSING), 0);
	EQ((long)mremap(p, 4 * PG, 2 * PG, 0), (long)p);
	EQ(try_read(p + 2 * PG, NULL), SIGSEGV);
	DONE(copy(fd, p, map(2), 2 * PG, 0), 2 * PG);
	return 0;
}
