/* SPDX-License-Identifier: MIT */
/* Growing by a move: the event tells the old length, and the new part is registered too. */
#include "abi.h"

int main(void)
{
	struct thread t;
	struct call c;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_REMAP);
	char *p = map(2), *to = map(4);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	DONE(copy(fd, p, page_of(5), PG, 0), PG);
	call_mremap(&c, p, 2 * PG, 4 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	EVENT(fd, UFFD_EVENT_REMAP, p, to, 2 * PG);
	EQ(returned(&c), (long)to);
	EQ(to[0], 5);
	reader(&t, to + 3 * PG);
	FAULT(fd, to + 3 * PG, 0);
	DONE(copy(fd, to + PG, map(3), 3 * PG, 0), 3 * PG);
	join(&t);
	CHECK(quiet(fd));
	return 0;
}
