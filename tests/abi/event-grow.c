/* SPDX-License-Identifier: MIT */
/* Growing in place is no event; the new part is registered like the old. */
#include "abi.h"

static void grow(uint64_t features)
{
	struct thread t;
	int fd = uffd_open(features);
	char *p = map(4);

	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	DONE(copy(fd, p, page_of(5), PG, 0), PG);
	/* Only now, so that nothing else is mapped there meanwhile. */
	EQ(munmap(p + 2 * PG, 2 * PG), 0);
	EQ((long)mremap(p, 2 * PG, 4 * PG, 0), (long)p);
	CHECK(quiet(fd));
	EQ(p[0], 5);
	reader(&t, p + 3 * PG);
	FAULT(fd, p + 3 * PG, 0);
	DONE(copy(fd, p + PG, map(3), 3 * PG, 0), 3 * PG);
	join(&t);
	close(fd);
}

int main(void)
{
	start();
	grow(0);
	grow(UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_UNMAP);
	return 0;
}
