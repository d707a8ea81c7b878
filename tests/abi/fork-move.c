/* SPDX-License-Identifier: MIT */
/*
 * MOVE refuses a page that fork has shared, until it has been written to: then it is the parent's
 * own again.
 */
#include "procs.h"

static char *p;

static int child_main(int sock, void *arg)
{
	(void)arg;
	EQ(p[0], 1);
	tell(sock, 0);
	hear(sock);
	EQ(p[0], 1);
	EQ(p[PG], 1);
	return 0;
}

int main(void)
{
	start();
	int fd = uffd_open(UFFD_FEATURE_MOVE);
	p = map(4);
	char *dst = map(4);
	EQ(reg(fd, dst, 4 * PG, MISSING), 0);
	memset(p, 1, 3 * PG);
	struct peer child = peer_start(child_main, NULL);
	hear(child.sock);
	FAILS(move(fd, dst, p, PG, 0), EBUSY);
	p[0] = 2;
	DONE(move(fd, dst, p, PG, 0), PG);
	EQ(dst[0], 2);
	EQ(dst[1], 1);
	FAILS(move(fd, dst + PG, p + PG, 2 * PG, 0), EBUSY);
	/* What was not there at the fork moves: the first page does, the shared one stops it. */
	p[0] = 5;
	PARTLY(move(fd, dst + PG, p, 2 * PG, 0), PG);
	EQ(dst[PG], 5);
	tell(child.sock, 0);
	peer_end(&child);
	p[PG] = 3;
	DONE(move(fd, dst + 2 * PG, p + PG, PG, 0), PG);
	EQ(dst[2 * PG], 3);
	EQ(dst[2 * PG + 1], 1);
	EQ(p[PG], 0);
	return 0;
}
