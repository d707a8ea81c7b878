/* SPDX-License-Identifier: MIT */
/* The child's faults come to its descriptor, and the parent serves them. */
#include "procs.h"

static int child_main(int sock, void *arg)
{
	struct memory *m = arg;
	size_t u = m->unit;

	(void)sock;
	EQ(m->p[0], 1);
	CHECK(all(m->p + u, u, 2));
	put(m->p + 2 * u + 5, 4);
	EQ(get(m->p + 2 * u), 3);
	EQ(get(m->p + 2 * u + 5), 4);
	return 0;
}

static void check(struct memory *m)
{
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK);
	size_t u = m->unit;
	struct forker f;
	struct thread t;

	need_spare(m->kind, 6);
	REGISTERS(fd, m, MISSING);
	DONE(copy(fd, m->p, source(m, 1, 1), u, 0), u);
	int child = fork_with_event(fd, &f, child_main, m);
	FAULT(child, m->p + u, 0);
	wait_state(f.peer.pid, 'S');
	CHECK(quiet(fd));
	DONE(copy(child, m->p + u, source(m, 1, 2), u, 0), u);
	FAULT(child, m->p + 2 * u, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(copy(child, m->p + 2 * u, source(m, 1, 3), u, 0), u);
	peer_end(&f.peer);
	CHECK(quiet(child));
	if (!(m->kind & SHARED)) {
		reader(&t, m->p + u);
		FAULT(fd, m->p + u, 0);
		DONE(copy(fd, m->p + u, source(m, 1, 7), u, 0), u);
		join(&t);
		EQ(t.byte, 7);
	} else {
		/* The page cache has them. */
		EQ(m->p[u], 2);
		EQ(m->p[2 * u + 5], 4);
	}
	CHECK(quiet(fd));
	close(child);
	close(fd);
}

int main(void)
{
	start();
	return each(ANON | SHMEM | HUGE, 3, check);
}
