/* SPDX-License-Identifier: MIT */
/* Poison goes to the child, and its handler replaces it there. */
#include "procs.h"

static char *p;

static int child_main(int sock, void *arg)
{
	(void)arg;
	EQ(try_read(p, NULL), SIGBUS);
	tell(sock, 0);
	hear(sock);
	EQ(p[0], 2);
	return 0;
}

int main(void)
{
	struct forker f;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_POISON);
	p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	DONE(poison(fd, p, PG, 0), PG);
	int child = fork_with_event(fd, &f, child_main, NULL);
	hear(f.peer.sock);
	FAILS(poison(child, p, PG, 0), EEXIST);
	DONE(copy(child, p, page_of(2), PG, 0), PG);
	tell(f.peer.sock, 0);
	peer_end(&f.peer);
	EQ(try_read(p, NULL), SIGBUS);
	return 0;
}
