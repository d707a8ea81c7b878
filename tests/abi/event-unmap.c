/* SPDX-License-Identifier: MIT */
/* EVENT_UNMAP: munmap waits until the event, which tells the whole range, has been read. */
#include "abi.h"

int main(void)
{
	struct call c;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_UNMAP);
	char *p = map(4);
	EQ(reg(fd, p + PG, PG, MISSING), 0);
	p[0] = 1;
	CHECK(quiet(fd));

	/* Not clipped to what is registered. */
	call_munmap(&c, p, 3 * PG);
	EVENT(fd, UFFD_EVENT_UNMAP, p, p + 3 * PG, 0);
	EQ(returned(&c), 0);
	CHECK(quiet(fd));
	EQ(try_read(p + PG, NULL), SIGSEGV);
	p[3 * PG] = 1;

	/* Nothing registered in it: no event. */
	EQ(munmap(p + 3 * PG, PG), 0);
	CHECK(quiet(fd));
	return 0;
}
