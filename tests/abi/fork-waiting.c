/* SPDX-License-Identifier: MIT */
/* Forks while other threads wait for pages: they keep waiting, and their pages are holes there. */
#include "procs.h"

#define THREADS 4

static int child_main(int sock, void *arg)
{
	struct memory *m = arg;

	(void)sock;
	for (int i = 0; i < THREADS; i++)
		EQ(m->p[i * m->unit], 0);
	m->p[0] = 1;
	return 0;
}

static void check(struct memory *m)
{
	struct thread t[THREADS];
	int fd = uffd_open(0);
	size_t u = m->unit;

	need_spare(m->kind, 2 * THREADS);
	REGISTERS(fd, m, MISSING);
	for (int i = 0; i < THREADS; i++) {
		reader(&t[i], m->p + i * u);
		FAULT(fd, m->p + i * u, 0);
	}
	for (int i = 0; i < 5; i++) {
		struct peer child = peer_start(child_main, m);
		peer_end(&child);
	}
	for (int i = 0; i < THREADS; i++)
		CHECK(blocked(&t[i]));
	CHECK(quiet(fd));
	for (int i = 0; i < THREADS; i++) {
		DONE(copy(fd, m->p + i * u, source(m, 1, 20 + i), u, 0), u);
		join(&t[i]);
		EQ(t[i].byte, 20 + i);
	}
	close(fd);
}

int main(void)
{
	start();
	return each(ANON | HUGE_PRIVATE, THREADS, check);
}
