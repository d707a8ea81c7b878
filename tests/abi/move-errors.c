/* SPDX-License-Identifier: MIT */
/* What MOVE refuses, and what its output field then holds. */
#include "abi.h"

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MOVE);
	int fd = uffd_open(0), other = uffd_open(0);
	char *dst = map(3), *src = map(3);
	memset(src, 1, 3 * PG);
	FAILS(move(fd, dst, src, PG, 0), EINVAL);
	EQ(reg(fd, dst, 2 * PG, MISSING), 0);
	REFUSED(move(fd, dst + 1, src, PG, 0), EINVAL);
	REFUSED(move(fd, dst, src + 1, PG, 0), EINVAL);
	REFUSED(move(fd, dst, src, 0, 0), EINVAL);
	REFUSED(move(fd, dst, src, PG + 1, 0), EINVAL);
	REFUSED(move(fd, dst, src, PG, 4), EINVAL);
	REFUSED(move(fd, dst, (char *)-PG, PG, 0), EINVAL);
	/* Only through the userfaultfd that the destination is registered with. */
	FAILS(move(other, dst, src, PG, 0), EINVAL);
	FAILS(move(fd, dst + 2 * PG, src, PG, 0), EINVAL);
	FAILS(move(fd, dst + PG, src, 2 * PG, 0), EINVAL);

	char *gone = map(1);
	EQ(munmap(gone, PG), 0);
	FAILS(move(fd, gone, src, PG, 0), ENOENT);
	FAILS(move(fd, dst, gone, PG, 0), ENOENT);

	/* Both sides must allow the same accesses, writes among them, and be private memory. */
	EQ(mprotect(src + 2 * PG, PG, PROT_READ), 0);
	FAILS(move(fd, dst, src + 2 * PG, PG, 0), EINVAL);
	FAILS(move(fd, dst, src + PG, 2 * PG, 0), EINVAL);
	EQ(mprotect(dst, PG, PROT_READ), 0);
	FAILS(move(fd, dst, src + 2 * PG, PG, 0), EINVAL);
	EQ(mprotect(dst, PG, PROT_READ | PROT_WRITE), 0);
	char *shared = mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	shared[0] = 1;
	FAILS(move(fd, dst, shared, PG, 0), EINVAL);

	EQ(mlock(src, PG), 0);
	FAILS(move(fd, dst, src, PG, 0), EINVAL);
	EQ(munlock(src, PG), 0);

	CHECK(!populated(dst));
	CHECK(all(src, 3 * PG, 1));
	DONE(move(fd, dst, src, 2 * PG, 0), 2 * PG);
	return 0;
}
