/* SPDX-License-Identifier: MIT */
/* Closing the descriptor lets callers go whose event was never read. */
#include "abi.h"

int main(void)
{
	struct call c[2];

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMOVE);
	char *p = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	DONE(copy(fd, p + PG, page_of(1), PG, 0), PG);
	call_munmap(&c[0], p, PG);
	call_madvise(&c[1], p + PG, PG, MADV_DONTNEED);
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	EQ(poll(&ready, 1, -1), 1);
	close(fd);
	EQ(returned(&c[0]), 0);
	EQ(returned(&c[1]), 0);
	EQ(p[PG], 0);
	p[2 * PG] = 1;
	return 0;
}
