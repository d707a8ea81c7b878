/* SPDX-License-Identifier: MIT */
/* COPY that meets a present page stops there: EAGAIN and the bytes done, whose waiters are woken.
 */
#include "abi.h"

int main(void)
{
	struct thread t[2];

	start();
	int fd = uffd_open(0);
	char *p = map(4), *src = map(4);
	memset(src, 9, 4 * PG);
	EQ(reg(fd, p, 4 * PG, MISSING), 0);
	DONE(copy(fd, p + 2 * PG, page_of(3), PG, 0), PG);
	reader(&t[0], p + PG);
	FAULT(fd, p + PG, 0);
	reader(&t[1], p + 3 * PG);
	FAULT(fd, p + 3 * PG, 0);

	PARTLY(copy(fd, p, src, 4 * PG, 0), 2 * PG);
	join(&t[0]);
	EQ(t[0].byte, 9);
	CHECK(blocked(&t[1]));
	CHECK(all(p, 2 * PG, 9));
	CHECK(all(p + 2 * PG, PG, 3));
	CHECK(!populated(p + 3 * PG));
	FAILS(copy(fd, p + 2 * PG, src, 2 * PG, 0), EEXIST);
	DONE(copy(fd, p + 3 * PG, src, PG, 0), PG);
	join(&t[1]);
	return 0;
}
