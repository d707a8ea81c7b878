/* SPDX-License-Identifier: MIT */
/* What is missing in the parent is an ordinary hole in the child, whoever writes first. */
#include "procs.h"

static int child_main(int sock, void *arg)
{
	struct memory *m = arg;
	size_t u = m->unit;

	for (int i = 0; i < 2; i++)
		EQ(m->p[i * u], 0);
	m->p[u] = 7;
	tell(sock, 0);
	hear(sock);
	/* The parent's pages came after the fork. */
	EQ(m->p[0], 0);
	EQ(m->p[u], 7);
	EQ(m->p[2 * u], 0);
	m->p[2 * u] = 8;
	return 0;
}

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	need_spare(m->kind, 6);
	REGISTERS(fd, m, MISSING);
	struct peer child = peer_start(child_main, m);
	hear(child.sock);
	CHECK(quiet(fd));
	for (int i = 0; i < 3; i++) {
		writer(&t, m->p + i * u + 9, 40 + i);
		FAULT(fd, m->p + i * u, UFFD_PAGEFAULT_FLAG_WRITE);
		DONE(copy(fd, m->p + i * u, source(m, 1, 30 + i), u, 0), u);
		join(&t);
		EQ(m->p[i * u], 30 + i);
		EQ(m->p[i * u + 9], 40 + i);
	}
	tell(child.sock, 0);
	peer_end(&child);
	EQ(m->p[2 * u], 32);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	/* What the child's page of a private file shows is the file's; here, anonymous memory. */
	return each(ANON | HUGE_PRIVATE, 3, check);
}
