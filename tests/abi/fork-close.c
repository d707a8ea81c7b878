/* SPDX-License-Identifier: MIT */
/* A child that closes the descriptor it inherited takes nothing from its parent. */
#include "procs.h"

static int fd;

static int child_main(int sock, void *arg)
{
	(void)arg;
	close(fd);
	tell(sock, 0);
	hear(sock);
	return 0;
}

int main(void)
{
	struct thread t;

	start();
	fd = uffd_open(0);
	char *p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	reader(&t, p);
	FAULT(fd, p, 0);
	struct peer child = peer_start(child_main, NULL);
	hear(child.sock);
	CHECK(blocked(&t));
	DONE(copy(fd, p, page_of(2), PG, 0), PG);
	join(&t);
	reader(&t, p + PG);
	FAULT(fd, p + PG, 0);
	tell(child.sock, 0);
	peer_end(&child);
	CHECK(blocked(&t));
	/* Now there is no other descriptor: closed, it releases the thread. */
	close(fd);
	join(&t);
	EQ(t.byte, 0);
	return 0;
}
