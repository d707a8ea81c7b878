/* SPDX-License-Identifier: MIT */
/* Handlers of pthread_atfork touch managed memory before and after, on both sides. */
#include "procs.h"

static char *p;
static int seen[3];

static void prepare(void)
{
	seen[0] = get(p);
	put(p + 1, 5);
}

static void in_parent(void)
{
	seen[1] = get(p + 1);
	put(p + 2, 6);
}

static void in_child(void)
{
	seen[2] = get(p + 1);
	put(p + 2, 7);
}

int main(void)
{
	start();
	int fd = uffd_open(0);
	p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	DONE(copy(fd, p, page_of(1), PG, 0), PG);
	EQ(pthread_atfork(prepare, in_parent, in_child), 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (!pid)
		_exit(seen[0] == 1 && seen[2] == 5 && get(p + 2) == 7 ? 0 : 1);
	EQ(ends(pid), 0);
	EQ(seen[0], 1);
	EQ(seen[1], 5);
	EQ(p[2], 6);
	return 0;
}
