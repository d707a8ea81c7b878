/* SPDX-License-Identifier: MIT */
/* While an event is unread all fills and protections fail with EAGAIN; the rest works. */
#include "abi.h"

int main(void)
{
	struct call c;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_UNMAP), other = uffd_open(0);
	uint64_t features = uffd_features();
	char *p = map(4), *src = page_of(1), *free = map(1);
	EQ(reg(fd, p, 4 * PG, MISSING | WP), 0);
	call_munmap(&c, p + 3 * PG, PG);
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	EQ(poll(&ready, 1, -1), 1);

	FAILS(copy(fd, p, src, PG, 0), EAGAIN);
	FAILS(zeropage(fd, p, PG, 0), EAGAIN);
	FAILS(cont(fd, p, PG, 0), EAGAIN);
	EQ(protect(fd, p, PG, UFFDIO_WRITEPROTECT_MODE_WP), EAGAIN);
	if (features & UFFD_FEATURE_POISON)
		FAILS(poison(fd, p, PG, 0), EAGAIN);
	if (features & UFFD_FEATURE_MOVE)
		FAILS(move(fd, p, src, PG, 0), EAGAIN);
	/* Ahead of every other reason. */
	FAILS(copy(fd, p + 1, src, PG, 64), EAGAIN);
	FAILS(zeropage(fd, p + 1, 0, 64), EAGAIN);
	EQ(protect(fd, p + 1, 0, 64), EAGAIN);

	EQ(wake(fd, p, PG), 0);
	EQ(reg(fd, free, PG, MISSING), 0);
	EQ(unreg(fd, free, PG), 0);
	/* The state is the userfaultfd's, not the area's. */
	DONE(copy(other, p, src, PG, 0), PG);

	EVENT(fd, UFFD_EVENT_UNMAP, p + 3 * PG, p + 4 * PG, 0);
	EQ(returned(&c), 0);
	DONE(copy(fd, p + PG, src, PG, 0), PG);
	EQ(protect(fd, p, PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	return 0;
}
