/* SPDX-License-Identifier: MIT */
/* UNREGISTER lets waiters go on with ordinary memory and takes the range out of COPY's reach. */
#include "abi.h"

int main(void)
{
	struct thread t[2];

	start();
	int fd = uffd_open(0);
	char *p = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	DONE(copy(fd, p, page_of(1), PG, 0), PG);
	reader(&t[0], p + PG);
	FAULT(fd, p + PG, 0);
	writer(&t[1], p + 2 * PG, 4);
	CHECK(blocked(&t[1]));
	EQ(unreg(fd, p, 3 * PG), 0);
	join(&t[0]);
	join(&t[1]);
	EQ(t[0].byte, 0);
	EQ(p[2 * PG], 4);
	CHECK(all(p, PG, 1));
	CHECK(quiet(fd));
	FAILS(copy(fd, p, page_of(1), PG, 0), ENOENT);

	/* Mapped but not registered is fine, and it can be registered again. */
	EQ(unreg(fd, p, 3 * PG), 0);
	EQ(madvise(p, 3 * PG, MADV_DONTNEED), 0);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	reader(&t[0], p);
	FAULT(fd, p, 0);
	DONE(zeropage(fd, p, PG, 0), PG);
	join(&t[0]);
	return 0;
}
