/* SPDX-License-Identifier: MIT */
/* A mremap that fails changes nothing. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_UNMAP);
	char *p = map(4);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	DONE(copy(fd, p, page_of(3), PG, 0), PG);
	/* No room to grow in place, a bad address, a bad length, bad flags, overlap. */
	EQ((long)mremap(p, 2 * PG, 6 * PG, 0), -1);
	EQ(errno, ENOMEM);
	EQ((long)mremap(p + 1, PG, PG, MREMAP_MAYMOVE), -1);
	EQ(errno, EINVAL);
	EQ((long)mremap(p, 2 * PG, 0, MREMAP_MAYMOVE), -1);
	EQ(errno, EINVAL);
	EQ((long)mremap(p, PG, PG, 64), -1);
	EQ(errno, EINVAL);
	EQ((long)mremap(p, 2 * PG, 2 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, p + PG), -1);
	EQ(errno, EINVAL);
	CHECK(quiet(fd));
	EQ(p[0], 3);
	reader(&t, p + PG);
	FAULT(fd, p + PG, 0);
	DONE(zeropage(fd, p + PG, PG, 0), PG);
	join(&t);
	EQ(madvise(p + 1, PG, MADV_DONTNEED), -1);
	EQ(errno, EINVAL);
	EQ(munmap(p + 1, PG), -1);
	EQ(errno, EINVAL);
	EQ(mprotect(p + 1, PG, PROT_NONE), -1);
	EQ(errno, EINVAL);
	CHECK(quiet(fd));
	EQ(p[0], 3);
	return 0;
}
