/* SPDX-License-Identifier: MIT */
/* The child execs: its memory has gone with it, and calls on it fail with ESRCH. */
#include "procs.h"

static char *p;

static int child_main(int sock, void *arg)
{
	(void)sock;
	(void)arg;
	EQ(p[0], 1);
	execl("/bin/sh", "sh", "-c", "exit 6", NULL);
	return 1;
}

int main(void)
{
	struct forker f;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK);
	p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	int child = fork_with_event(fd, &f, child_main, NULL);
	FAULT(child, p, 0);
	DONE(copy(child, p, page_of(1), PG, 0), PG);
	EQ(ends(f.peer.pid), 6);
	REFUSED(copy(child, p, page_of(1), PG, 0), ESRCH);
	CHECK(quiet(child));
	CHECK(!populated(p));
	return 0;
}
