/* SPDX-License-Identifier: MIT */
/* A page thrown away by MADV_DONTNEED is missing again, without any feature. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	for (int i = 0; i < 5; i++) {
		DONE(copy(fd, p, page_of(9), PG, 0), PG);
		EQ(p[0], 9);
		reader(&t, p + PG);
		FAULT(fd, p + PG, 0);
		DONE(copy(fd, p + PG, page_of(i), PG, 0), PG);
		join(&t);
		EQ(t.byte, i);
		CHECK(quiet(fd));
		EQ(madvise(p, 2 * PG, MADV_DONTNEED), 0);
		CHECK(quiet(fd));
		CHECK(!populated(p));
	}
	return 0;
}
