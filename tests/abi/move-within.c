/* SPDX-License-Identifier: MIT */
/* MOVE within one registered area: the source goes missing, and overlaps are taken page by page. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	need_features(UFFD_FEATURE_MOVE);
	int fd = uffd_open(0);
	char *p = map(6);
	for (int i = 2; i < 5; i++)
		memset(p + i * PG, 'a' + i, PG);
	EQ(reg(fd, p, 6 * PG, MISSING), 0);
	/* Two down: page 4 lands where page 2 was before. */
	DONE(move(fd, p, p + 2 * PG, 3 * PG, 0), 3 * PG);
	for (int i = 0; i < 3; i++)
		CHECK(all(p + i * PG, PG, 'c' + i));
	reader(&t, p + 3 * PG);
	FAULT(fd, p + 3 * PG, 0);
	DONE(move(fd, p + 3 * PG, p, PG, 0), PG);
	join(&t);
	EQ(t.byte, 'c');
	reader(&t, p);
	FAULT(fd, p, 0);
	DONE(zeropage(fd, p, PG, 0), PG);
	join(&t);

	/* One up: the first destination is occupied. */
	FAILS(move(fd, p + 2 * PG, p + PG, 2 * PG, 0), EEXIST);
	CHECK(all(p + PG, PG, 'd'));
	CHECK(all(p + 2 * PG, PG, 'e'));
	CHECK(quiet(fd));
	return 0;
}
