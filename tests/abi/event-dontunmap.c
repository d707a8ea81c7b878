/* SPDX-License-Identifier: MIT */
/* MREMAP_DONTUNMAP: with EVENT_REMAP both ranges are registered, without it the old one alone. */
#include "abi.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

#define FLAGS (MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)

int main(void)
{
	struct thread t;
	struct call c;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_UNMAP);
	char *p = map(2), *to = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	DONE(copy(fd, p, page_of(5), PG, 0), PG);
	call_mremap(&c, p, 2 * PG, 2 * PG, FLAGS, to);
	EVENT(fd, UFFD_EVENT_REMAP, p, to, 2 * PG);
	EQ(returned(&c), (long)to);
	CHECK(quiet(fd));
	EQ(to[0], 5);
	reader(&t, p);
	FAULT(fd, p, 0);
	DONE(copy(fd, p, page_of(6), PG, 0), PG);
	join(&t);
	EQ(t.byte, 6);
	EQ(to[0], 5);
	DONE(copy(fd, to + PG, page_of(7), PG, 0), PG);

	fd = uffd_open(0);
	p = map(2);
	to = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	DONE(copy(fd, p, page_of(5), PG, 0), PG);
	EQ((long)mremap(p, 2 * PG, 2 * PG, FLAGS, to), (long)to);
	EQ(to[0], 5);
	to[PG] = 1;
	CHECK(quiet(fd));
	FAILS(copy(fd, to, page_of(6), PG, 0), ENOENT);
	DONE(copy(fd, p, page_of(6), PG, 0), PG);
	EQ(p[0], 6);
	return 0;
}
