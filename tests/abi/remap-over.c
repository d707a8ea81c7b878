/* SPDX-License-Identifier: MIT */
/* mremap onto registered memory replaces it; with EVENT_UNMAP that is reported. */
#include "abi.h"

int main(void)
{
	struct call c;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_UNMAP);
	char *to = map(2), *p = map(2);
	memset(p, 8, 2 * PG);
	EQ(reg(fd, to, 2 * PG, MISSING), 0);
	DONE(copy(fd, to, page_of(1), PG, 0), PG);
	call_mremap(&c, p, 2 * PG, 2 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	EVENT(fd, UFFD_EVENT_UNMAP, to, to + 2 * PG, 0);
	EQ(returned(&c), (long)to);
	CHECK(all(to, 2 * PG, 8));
	FAILS(copy(fd, to, page_of(1), PG, 0), ENOENT);
	CHECK(quiet(fd));
	return 0;
}
