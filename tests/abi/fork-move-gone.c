/* SPDX-License-Identifier: MIT */
/* A page that was not registered when fork shared it stays refused when the child has gone. */
#include "procs.h"

static char *p;

static int child_main(int sock, void *arg)
{
	(void)sock;
	(void)arg;
	return p[0] == 1 ? 0 : 1;
}

int main(void)
{
	start();
	int fd = uffd_open(UFFD_FEATURE_MOVE);
	p = map(1);
	char *dst = map(1);
	EQ(reg(fd, dst, PG, MISSING), 0);
	memset(p, 1, PG);
	struct peer child = peer_start(child_main, NULL);
	peer_end(&child);
	FAILS(move(fd, dst, p, PG, 0), EBUSY);
	put(p + 1, 2);
	DONE(move(fd, dst, p, PG, 0), PG);
	EQ(dst[0], 1);
	EQ(dst[1], 2);
	return 0;
}
