/* SPDX-License-Identifier: MIT */
/* The child has ended: calls on its memory fail with ESRCH, and there is nothing to read. */
#include "procs.h"

static int child_main(int sock, void *arg)
{
	(void)arg;
	hear(sock);
	return 0;
}

int main(void)
{
	struct forker f;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK);
	char *p = map(3);
	EQ(reg(fd, p, 2 * PG, MISSING | WP), 0);
	int child = fork_with_event(fd, &f, child_main, NULL);
	DONE(copy(child, p, page_of(1), PG, 0), PG);
	tell(f.peer.sock, 0);
	peer_end(&f.peer);
	REFUSED(copy(child, p + PG, page_of(1), PG, 0), ESRCH);
	REFUSED(zeropage(child, p + PG, PG, 0), ESRCH);
	EQ(protect(child, p, PG, UFFDIO_WRITEPROTECT_MODE_WP), ESRCH);
	EQ(reg(child, p + 2 * PG, PG, MISSING), ENOMEM);
	EQ(unreg(child, p, PG), ENOMEM);
	EQ(wake(child, p, PG), 0);
	CHECK(quiet(child));
	DONE(copy(fd, p, page_of(2), PG, 0), PG);
	EQ(p[0], 2);
	return 0;
}
