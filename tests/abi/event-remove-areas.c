/* SPDX-License-Identifier: MIT */
/* REMOVE comes once for each registered area, clipped to it. */
#include "abi.h"

int main(void)
{
	struct call c;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_REMOVE);
	char *p = map(6);
	memset(p, 1, 6 * PG);
	EQ(reg(fd, p + PG, 2 * PG, MISSING), 0);
	EQ(reg(fd, p + 4 * PG, PG, MISSING), 0);
	call_madvise(&c, p, 6 * PG, MADV_DONTNEED);
	EVENT(fd, UFFD_EVENT_REMOVE, p + PG, p + 3 * PG, 0);
	EVENT(fd, UFFD_EVENT_REMOVE, p + 4 * PG, p + 5 * PG, 0);
	EQ(returned(&c), 0);
	CHECK(quiet(fd));
	for (int i = 0; i < 6; i++)
		CHECK(!populated(p + i * PG));
	return 0;
}
