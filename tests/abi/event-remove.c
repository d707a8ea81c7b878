/* SPDX-License-Identifier: MIT */
/* EVENT_REMOVE: MADV_DONTNEED reports the range before the pages go. */
#include "abi.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

int main(void)
{
	struct thread t;
	struct call c;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_REMOVE);
	char *p = map(4);
	EQ(reg(fd, p, 4 * PG, MISSING), 0);
	DONE(copy(fd, p, page_of(6), PG, 0), PG);
	DONE(copy(fd, p + PG, page_of(7), PG, 0), PG);
	call_madvise(&c, p, 2 * PG, MADV_DONTNEED);
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	EQ(poll(&ready, 1, -1), 1);
	EQ(p[0], 6);
	EQ(p[PG], 7);
	CHECK(!c.thread.done);
	EVENT(fd, UFFD_EVENT_REMOVE, p, p + 2 * PG, 0);
	EQ(returned(&c), 0);
	reader(&t, p);
	FAULT(fd, p, 0);
	DONE(zeropage(fd, p, PG, 0), PG);
	join(&t);

	/* Empty or not, and by whatever advice that drops pages. */
	call_madvise(&c, p + 2 * PG, PG, MADV_DONTNEED);
	EVENT(fd, UFFD_EVENT_REMOVE, p + 2 * PG, p + 3 * PG, 0);
	EQ(returned(&c), 0);
	call_madvise(&c, p, PG, MADV_FREE);
	EVENT(fd, UFFD_EVENT_REMOVE, p, p + PG, 0);
	EQ(returned(&c), 0);
	call_madvise(&c, p, PG, MADV_DONTNEED_LOCKED);
	EVENT(fd, UFFD_EVENT_REMOVE, p, p + PG, 0);
	EQ(returned(&c), 0);
	CHECK(quiet(fd));

	/* Other advice says nothing. */
	EQ(madvise(p, 4 * PG, MADV_WILLNEED), 0);
	EQ(madvise(p, 4 * PG, MADV_RANDOM), 0);
	EQ(mprotect(p, 4 * PG, PROT_READ), 0);
	CHECK(quiet(fd));
	return 0;
}
