/* SPDX-License-Identifier: MIT */
/* clone with a stack of its own and no shared memory: a fork that begins in a function. */
#include "procs.h"

static char *p;
static _Alignas(16) char stack[65536];

static int child_main(void *arg)
{
	bool good = get(p) == 1 && get(p + PG) == 0 && arg == p;

	put(p, 2);
	return good && get(p) == 2 ? 7 : 1;
}

int main(void)
{
	start();
	int fd = uffd_open(0);
	p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	DONE(copy(fd, p, page_of(1), PG, 0), PG);
	pid_t pid = clone(child_main, stack + sizeof stack, SIGCHLD, p);
	CHECK(pid > 0);
	EQ(ends(pid), 7);
	EQ(p[0], 1);
	CHECK(quiet(fd));
	return 0;
}
