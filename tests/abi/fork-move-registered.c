/* SPDX-License-Identifier: MIT */
/* The same for a source that is itself registered, and in the child, by its own descriptor. */
#include "procs.h"

static char *p;

static int child_main(int sock, void *arg)
{
	char *dst = map(2);
	int fd = uffd_open(UFFD_FEATURE_MOVE);

	(void)sock;
	(void)arg;
	EQ(reg(fd, dst, 2 * PG, MISSING), 0);
	FAILS(move(fd, dst, p, PG, 0), EBUSY);
	p[7] = 4;
	DONE(move(fd, dst, p, PG, 0), PG);
	EQ(dst[0], 1);
	EQ(dst[7], 4);
	EQ(p[0], 0);
	return 0;
}

int main(void)
{
	start();
	int fd = uffd_open(UFFD_FEATURE_MOVE);
	p = map(4);
	EQ(reg(fd, p, 4 * PG, MISSING), 0);
	DONE(copy(fd, p, page_of(1), PG, 0), PG);
	DONE(copy(fd, p + PG, page_of(2), PG, 0), PG);
	struct peer child = peer_start(child_main, NULL);
	peer_end(&child);
	FAILS(move(fd, p + 2 * PG, p, PG, 0), EBUSY);
	EQ(p[0], 1);
	EQ(p[7], 1);
	p[0] = 6;
	DONE(move(fd, p + 2 * PG, p, PG, 0), PG);
	EQ(p[2 * PG], 6);
	EQ(p[2 * PG + 1], 1);
	/* Filled after the fork: never shared. */
	DONE(copy(fd, p, page_of(8), PG, 0), PG);
	DONE(move(fd, p + 3 * PG, p, PG, 0), PG);
	EQ(p[3 * PG], 8);
	CHECK(quiet(fd));
	return 0;
}
