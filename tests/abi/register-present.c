/* SPDX-License-Identifier: MIT */
/* Registering memory with contents: they stay, they do not fault, and they outlast it. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(6);
	for (int i = 0; i < 5; i++)
		if (i != 2)
			memset(p + i * PG, 'a' + i, PG);
	EQ(reg(fd, p, 6 * PG, MISSING), 0);
	CHECK(all(p, PG, 'a'));
	p[PG] = 'x';
	EQ(p[PG + 1], 'b');
	CHECK(quiet(fd));
	FAILS(copy(fd, p + 3 * PG, page_of(1), PG, 0), EEXIST);
	FAILS(zeropage(fd, p + 4 * PG, PG, 0), EEXIST);
	CHECK(populated(p + 4 * PG));
	CHECK(!populated(p + 2 * PG));

	reader(&t, p + 2 * PG);
	FAULT(fd, p + 2 * PG, 0);
	DONE(copy(fd, p + 2 * PG, page_of('c'), PG, 0), PG);
	join(&t);
	EQ(t.byte, 'c');

	EQ(unreg(fd, p, 6 * PG), 0);
	EQ(p[PG], 'x');
	p[PG] = 'b';
	for (int i = 0; i < 5; i++)
		CHECK(all(p + i * PG, PG, 'a' + i));
	CHECK(all(p + 5 * PG, PG, 0));
	return 0;
}
