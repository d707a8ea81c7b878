/* SPDX-License-Identifier: MIT */
/* Other processes that share the descriptor, or have some of their own, die: nothing changes. */
#include "procs.h"

static char *p;
static int fd;

static int holder_main(int sock, void *arg)
{
	(void)arg;
	tell(sock, fcntl(fd, F_GETFD));
	hear(sock);
	return 0;
}

static int stranger_main(int sock, void *arg)
{
	int own = uffd_open(0);
	char *q = map(1);
	struct thread t;

	(void)arg;
	EQ(reg(own, q, PG, MISSING), 0);
	reader(&t, q);
	FAULT(own, q, 0);
	tell(sock, 0);
	hear(sock);
	return 0;
}

int main(void)
{
	struct thread t;

	start();
	fd = uffd_open(0);
	p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	reader(&t, p);
	FAULT(fd, p, 0);
	struct peer holder = peer_start(holder_main, NULL);
	struct peer stranger = peer_start(stranger_main, NULL);
	hear(holder.sock);
	hear(stranger.sock);
	peer_kill(&holder);
	CHECK(blocked(&t));
	peer_kill(&stranger);
	CHECK(blocked(&t));
	CHECK(quiet(fd));
	DONE(copy(fd, p, page_of(3), PG, 0), PG);
	join(&t);
	EQ(t.byte, 3);
	reader(&t, p + PG);
	FAULT(fd, p + PG, 0);
	DONE(copy(fd, p + PG, page_of(4), PG, 0), PG);
	join(&t);
	return 0;
}
