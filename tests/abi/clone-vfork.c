/* SPDX-License-Identifier: MIT */
/* The child of vfork touches its parent's missing pages; a thread of the parent serves them. */
#include "procs.h"

static char *p;
static int fd;

static void *serve(void *arg)
{
	FAULT(fd, p, 0);
	DONE(copy(fd, p, arg, PG, 0), PG);
	FAULT(fd, p + PG, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(copy(fd, p + PG, arg, PG, 0), PG);
	return NULL;
}

int main(void)
{
	struct thread t;

	start();
	fd = uffd_open(0);
	p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	run(&t, serve, page_of(3));
	pid_t pid = vfork();
	CHECK(pid >= 0);
	if (!pid) {
		int seen = get(p);
		put(p + PG, 4);
		_exit(seen);
	}
	EQ(ends(pid), 3);
	join(&t);
	/* It was the parent's memory. */
	EQ(p[PG], 4);
	EQ(p[PG + 1], 3);
	CHECK(quiet(fd));
	return 0;
}
