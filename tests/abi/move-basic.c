/* SPDX-License-Identifier: MIT */
/* MOVE takes pages away from one place and puts them in another. */
#include "abi.h"

int main(void)
{
	struct thread t;

	start();
	need_features(UFFD_FEATURE_MOVE);
	int fd = uffd_open(0);
	char *dst = map(4), *src = map(4);
	for (int i = 0; i < 4; i++)
		memset(src + i * PG, 'a' + i, PG);
	EQ(reg(fd, dst, 4 * PG, MISSING), 0);
	DONE(move(fd, dst, src, 2 * PG, 0), 2 * PG);
	CHECK(all(dst, PG, 'a'));
	CHECK(all(dst + PG, PG, 'b'));
	CHECK(!populated(src));
	CHECK(!populated(src + PG));
	CHECK(all(src, 2 * PG, 0));
	CHECK(all(src + 2 * PG, PG, 'c'));
	memset(dst, 'x', PG);
	CHECK(all(dst, PG, 'x'));

	/* Who waits for the page gets it. */
	reader(&t, dst + 2 * PG);
	FAULT(fd, dst + 2 * PG, 0);
	DONE(move(fd, dst + 2 * PG, src + 2 * PG, PG, 0), PG);
	join(&t);
	EQ(t.byte, 'c');
	reader(&t, dst + 3 * PG);
	FAULT(fd, dst + 3 * PG, 0);
	CHECK(blocked(&t));
	DONE(move(fd, dst + 3 * PG, src + 3 * PG, PG, UFFDIO_MOVE_MODE_DONTWAKE), PG);
	CHECK(blocked(&t));
	EQ(wake(fd, dst + 3 * PG, PG), 0);
	join(&t);
	EQ(t.byte, 'd');
	CHECK(quiet(fd));
	return 0;
}
