/* SPDX-License-Identifier: MIT */
/* Thousands of lone pages in random order, and the program can still map what it likes. */
#include "abi.h"

#define PAGES 40000

int main(void)
{
	size_t at = 0;

	start();
	int fd = uffd_open(0);
	char *p = map(2 * PAGES), *src = map(1);
	EQ(reg(fd, p, 2 * PAGES * PG, MISSING), 0);
	for (size_t i = 0; i < PAGES; i++) {
		at = (at + 28657) % PAGES;
		*(size_t *)src = at;
		DONE(copy(fd, p + 2 * at * PG, src, PG, 0), PG);
		EQ(*(size_t *)(p + 2 * at * PG), at);
	}
	for (size_t i = 0; i < PAGES; i++)
		EQ(*(size_t *)(p + 2 * i * PG), i);
	for (size_t i = 0; i < 1000; i++) {
		char *q = mmap(NULL, PG, i % 2 ? PROT_READ : PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(q != MAP_FAILED);
	}
	struct thread t;
	reader(&t, p + PG);
	FAULT(fd, p + PG, 0);
	DONE(zeropage(fd, p + PG, PG, 0), PG);
	join(&t);
	CHECK(quiet(fd));
	return 0;
}
