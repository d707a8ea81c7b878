/* SPDX-License-Identifier: MIT */
/*
 * A process with its parent's memory and descriptors of its own: the descriptor that it closes
 * stays open in its parent, and its faults are served there.
 */
#include "procs.h"

static char *p;
static int fd;
static _Alignas(16) char stack[65536];

static int child_main(void *arg)
{
	(void)arg;
	close(fd);
	int seen = get(p);
	put(p + PG, seen + 1);
	return seen;
}

int main(void)
{
	struct thread t;

	start();
	fd = uffd_open(0);
	p = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	pid_t pid = clone(child_main, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL);
	CHECK(pid > 0);
	FAULT(fd, p, 0);
	wait_state(pid, 'S');
	DONE(copy(fd, p, page_of(5), PG, 0), PG);
	FAULT(fd, p + PG, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(zeropage(fd, p + PG, PG, 0), PG);
	EQ(ends(pid), 5);
	EQ(p[PG], 6);
	reader(&t, p + 2 * PG);
	FAULT(fd, p + 2 * PG, 0);
	DONE(zeropage(fd, p + 2 * PG, PG, 0), PG);
	join(&t);
	return 0;
}
