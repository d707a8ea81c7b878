/* SPDX-License-Identifier: MIT */
/* COPY fills several pages, keeps them writable, and refuses them the second time. */
#include "abi.h"

int main(void)
{
	start();
	int fd = uffd_open(0);
	char *p = map(4), *src = map(4);
	for (int i = 0; i < 4; i++)
		memset(src + i * PG, 'a' + i, PG);
	EQ(reg(fd, p, 4 * PG, MISSING), 0);
	DONE(copy(fd, p, src, 3 * PG, 0), 3 * PG);
	for (int i = 0; i < 3; i++)
		CHECK(all(p + i * PG, PG, 'a' + i));
	memset(p, 'x', 3 * PG);
	CHECK(all(src, PG, 'a'));
	FAILS(copy(fd, p, src, PG, 0), EEXIST);
	CHECK(all(p, 3 * PG, 'x'));
	CHECK(!populated(p + 3 * PG));
	DONE(copy(fd, p + 3 * PG, src, PG, 0), PG);
	CHECK(quiet(fd));
	return 0;
}
