/* SPDX-License-Identifier: MIT */
/* A parent in SIGBUS mode has a child whose holes are ordinary. */
#include "procs.h"

static char *p;

static int child_main(int sock, void *arg)
{
	(void)sock;
	(void)arg;
	EQ(try_read(p, NULL), 0);
	EQ(p[0], 0);
	EQ(p[PG], 1);
	EQ(try_write(p + 2 * PG, 3, NULL), 0);
	return 0;
}

int main(void)
{
	start();
	int fd = uffd_open(UFFD_FEATURE_SIGBUS);
	p = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	DONE(copy(fd, p + PG, page_of(1), PG, 0), PG);
	struct peer child = peer_start(child_main, NULL);
	peer_end(&child);
	EQ(try_read(p, NULL), SIGBUS);
	EQ(try_read(p + 2 * PG, NULL), SIGBUS);
	EQ(p[PG], 1);
	return 0;
}
