/* SPDX-License-Identifier: MIT */
/* One call over memory of two userfaultfds: each hears of it, and the call waits for both. */
#include "abi.h"

int main(void)
{
	struct call c;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_UNMAP), other = uffd_open(UFFD_FEATURE_EVENT_UNMAP);
	int deaf = uffd_open(0);
	char *p = map(6);
	EQ(reg(fd, p, PG, MISSING), 0);
	EQ(reg(other, p + 2 * PG, PG, MISSING), 0);
	EQ(reg(fd, p + 3 * PG, PG, MISSING), 0);
	EQ(reg(deaf, p + 4 * PG, PG, MISSING), 0);
	call_munmap(&c, p, 6 * PG);
	EVENT(fd, UFFD_EVENT_UNMAP, p, p + 6 * PG, 0);
	EVENT(other, UFFD_EVENT_UNMAP, p, p + 6 * PG, 0);
	EQ(returned(&c), 0);
	CHECK(quiet(fd));
	CHECK(quiet(other));
	CHECK(quiet(deaf));
	return 0;
}
