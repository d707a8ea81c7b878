/* SPDX-License-Identifier: MIT */
/* MADV_POPULATE_READ and _WRITE ask for each missing page; mlock does too. */
#include "abi.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

static void *lock(void *arg)
{
	EQ(mlock(arg, 2 * PG), 0);
	return NULL;
}

static void serve(int fd, char *p, uint64_t flags)
{
	for (int i = 0; i < 2; i++) {
		FAULT(fd, p + i * PG, flags);
		DONE(copy(fd, p + i * PG, page_of(4), PG, 0), PG);
	}
}

int main(void)
{
	struct call c;
	struct thread t;

	start();
	int fd = uffd_open_full(0);
	char *p = map(6);
	EQ(reg(fd, p, 6 * PG, MISSING), 0);
	call_madvise(&c, p, 2 * PG, MADV_POPULATE_READ);
	serve(fd, p, 0);
	EQ(returned(&c), 0);
	call_madvise(&c, p + 2 * PG, 2 * PG, MADV_POPULATE_WRITE);
	serve(fd, p + 2 * PG, UFFD_PAGEFAULT_FLAG_WRITE);
	EQ(returned(&c), 0);
	EQ(madvise(p, 4 * PG, MADV_POPULATE_WRITE), 0);
	CHECK(quiet(fd));

	run(&t, lock, p + 4 * PG);
	serve(fd, p + 4 * PG, UFFD_PAGEFAULT_FLAG_WRITE);
	join(&t);
	EQ(munlock(p + 4 * PG, 2 * PG), 0);
	CHECK(all(p, 6 * PG, 4));
	return 0;
}
