/* SPDX-License-Identifier: MIT */
/* A child serves its parent's memory by the descriptor that it inherited; its own is no concern. */
#include "procs.h"

static char *p;
static int fd;

static int handler_main(int sock, void *arg)
{
	(void)sock;
	(void)arg;
	FAULT(fd, p, 0);
	DONE(copy(fd, p, page_of(1), PG, 0), PG);
	/* The parent has it, and here is a hole. */
	EQ(p[0], 0);
	p[0] = 9;
	FAULT(fd, p + PG, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(copy(fd, p + PG, page_of(2), PG, 0), PG);
	FAULT(fd, p + PG, UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE);
	EQ(protect(fd, p + PG, PG, 0), 0);
	return 0;
}

int main(void)
{
	start();
	fd = uffd_open(0);
	p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING | WP), 0);
	struct peer handler = peer_start(handler_main, NULL);
	EQ(p[0], 1);
	p[PG] = 3;
	EQ(protect(fd, p + PG, PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	p[PG] = 4;
	EQ(p[PG + 1], 2);
	EQ(p[0], 1);
	peer_end(&handler);
	return 0;
}
