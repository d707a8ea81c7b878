/* SPDX-License-Identifier: MIT */
/* A large range that is half full: contents are kept, and the other half faults. */
#include "abi.h"

#define SIZE (64ul << 20)

static void stamp(char *p)
{
	for (size_t at = 0; at < SIZE; at += 2 * PG) {
		*(size_t *)(p + at) = at;
		*(size_t *)(p + at + PG - sizeof at) = ~at;
	}
}

static void verify(char *p, size_t step)
{
	for (size_t at = 0; at < SIZE; at += step) {
		EQ(*(size_t *)(p + at), at);
		EQ(*(size_t *)(p + at + PG - sizeof at), ~at);
	}
}

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0);
	char *p = map(SIZE / PG);
	stamp(p);
	EQ(reg(fd, p, SIZE, MISSING), 0);
	verify(p, 64 * PG);
	CHECK(quiet(fd));
	char *hole = p + SIZE / 2 + PG;
	reader(&t, hole);
	FAULT(fd, hole, 0);
	DONE(copy(fd, hole, page_of(7), PG, 0), PG);
	join(&t);
	EQ(t.byte, 7);
	PARTLY(zeropage(fd, p + PG, 2 * PG, 0), PG);

	EQ(unreg(fd, p, SIZE), 0);
	verify(p, 2 * PG);
	CHECK(all(hole, PG, 7));
	CHECK(all(p + 5 * PG, PG, 0));
	EQ(reg(fd, p, SIZE, MISSING), 0);
	verify(p, 32 * PG);
	close(fd);
	verify(p, 2 * PG);
	return 0;
}
