/* SPDX-License-Identifier: MIT */
/* A process that shares its parent's memory is killed while it waits for a page. */
#include "procs.h"

static char *p;
static _Alignas(16) char stack[65536];

static int child_main(void *arg)
{
	(void)arg;
	return get(p);
}

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0);
	p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	for (int i = 0; i < 4; i++) {
		pid_t pid = clone(child_main, stack + sizeof stack,
				  CLONE_VM | CLONE_FILES | SIGCHLD, NULL);
		CHECK(pid > 0);
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		EQ(poll(&ready, 1, -1), 1);
		if (i % 2)
			FAULT(fd, p, 0);
		wait_state(pid, 'S');
		EQ(kill(pid, SIGKILL), 0);
		EQ(ends(pid), -SIGKILL);
		/* Read or not, its message has gone with it. */
		CHECK(quiet(fd));
	}
	reader(&t, p);
	FAULT(fd, p, 0);
	DONE(copy(fd, p, page_of(2), PG, 0), PG);
	join(&t);
	EQ(t.byte, 2);
	return 0;
}
