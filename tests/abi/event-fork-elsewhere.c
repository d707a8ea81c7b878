/* SPDX-License-Identifier: MIT */
/* The event is read in another process: the descriptor appears there, and serves from there. */
#include "procs.h"

static char *p;
static int fd;

static int child_main(int sock, void *arg)
{
	(void)sock;
	(void)arg;
	EQ(p[0], 1);
	EQ(p[PG], 2);
	return 0;
}

static int handler_main(int sock, void *arg)
{
	(void)arg;
	tell(sock, 0);
	int child = next_fork(fd);
	DONE(copy(child, p, page_of(1), PG, 0), PG);
	FAULT(child, p + PG, 0);
	DONE(copy(child, p + PG, page_of(2), PG, 0), PG);
	return 0;
}

int main(void)
{
	struct forker f;

	start();
	fd = uffd_open(UFFD_FEATURE_EVENT_FORK);
	p = map(2);
	/* The handler is forked before there is anything to send an event for. */
	struct peer handler = peer_start(handler_main, NULL);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	hear(handler.sock);
	fork_start(&f, child_main, NULL);
	fork_join(&f);
	peer_end(&f.peer);
	peer_end(&handler);
	CHECK(!populated(p));
	CHECK(quiet(fd));
	return 0;
}
