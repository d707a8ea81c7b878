/* SPDX-License-Identifier: MIT */
/* mremap over several areas, one of them registered, is refused. */
#include "abi.h"

int main(void)
{
	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_UNMAP);
	char *p = map(4), *to = map(4);
	memset(p, 3, 4 * PG);
	EQ(mprotect(p + 2 * PG, 2 * PG, PROT_READ), 0);
	EQ(reg(fd, p + 2 * PG, 2 * PG, MISSING), 0);
	EQ((long)mremap(p + PG, 2 * PG, 4 * PG, MREMAP_MAYMOVE), -1);
	EQ(errno, EFAULT);
	EQ((long)mremap(p + 3 * PG, 2 * PG, 4 * PG, MREMAP_MAYMOVE), -1);
	EQ(errno, EFAULT);
	CHECK(quiet(fd));
	CHECK(all(p, 4 * PG, 3));
	CHECK(all(to, 4 * PG, 0));
	return 0;
}
