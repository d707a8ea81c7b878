/* SPDX-License-Identifier: MIT */
/* A child that waits for a page is killed: its message is gone, and its descriptor says ESRCH. */
#include "procs.h"

static char *p;

static int child_main(int sock, void *arg)
{
	(void)sock;
	(void)arg;
	return p[PG * 0];
}

int main(void)
{
	struct forker f;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK);
	p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	for (int i = 0; i < 2; i++) {
		int child = fork_with_event(fd, &f, child_main, NULL);
		struct pollfd ready = {.fd = child, .events = POLLIN};
		EQ(poll(&ready, 1, -1), 1);
		if (i)
			FAULT(child, p, 0);
		peer_kill(&f.peer);
		CHECK(quiet(child));
		REFUSED(copy(child, p, page_of(1), PG, 0), ESRCH);
		close(child);
	}
	CHECK(quiet(fd));
	return 0;
}
