/* SPDX-License-Identifier: MIT */
/* With both features, a move reports first the REMAP, then the UNMAP of the old range. */
#include "abi.h"

int main(void)
{
	struct call c;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_UNMAP);
	char *p = map(2), *to = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	call_mremap(&c, p, 2 * PG, 2 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	EVENT(fd, UFFD_EVENT_REMAP, p, to, 2 * PG);
	EVENT(fd, UFFD_EVENT_UNMAP, p, p + 2 * PG, 0);
	EQ(returned(&c), (long)to);
	CHECK(quiet(fd));
	DONE(copy(fd, to, page_of(1), PG, 0), PG);
	return 0;
}
