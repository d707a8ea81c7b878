/* SPDX-License-Identifier: MIT */
/* MADV_DONTFORK keeps registered memory from the child, MADV_WIPEONFORK gives it holes. */
#include "procs.h"

static char *p;

static int child_main(int sock, void *arg)
{
	(void)sock;
	(void)arg;
	EQ(try_read(p, NULL), SIGSEGV);
	EQ(try_write(p + PG, 1, NULL), SIGSEGV);
	EQ(p[2 * PG], 0);
	p[2 * PG] = 4;
	EQ(p[3 * PG], 0);
	CHECK(all(p + 4 * PG, PG, 1));
	return 0;
}

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0);
	p = map(5);
	EQ(reg(fd, p, 5 * PG, MISSING), 0);
	DONE(copy(fd, p, page_of(1), PG, 0), PG);
	DONE(copy(fd, p + 2 * PG, page_of(1), PG, 0), PG);
	DONE(copy(fd, p + 4 * PG, page_of(1), PG, 0), PG);
	EQ(madvise(p, 2 * PG, MADV_DONTFORK), 0);
	EQ(madvise(p + 2 * PG, 2 * PG, MADV_WIPEONFORK), 0);
	struct peer child = peer_start(child_main, NULL);
	peer_end(&child);
	CHECK(all(p, PG, 1));
	CHECK(all(p + 2 * PG, PG, 1));
	for (int i = 1; i <= 3; i += 2) {
		reader(&t, p + i * PG);
		FAULT(fd, p + i * PG, 0);
		DONE(copy(fd, p + i * PG, page_of(i), PG, 0), PG);
		join(&t);
		EQ(t.byte, i);
	}
	/* Taken back, the child has it. */
	EQ(madvise(p, 2 * PG, MADV_DOFORK), 0);
	EQ(madvise(p + 2 * PG, 2 * PG, MADV_KEEPONFORK), 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (!pid)
		_exit(p[0] == 1 && p[PG] == 1 && p[2 * PG] == 1 && p[3 * PG] == 3 ? 0 : 1);
	EQ(ends(pid), 0);
	return 0;
}
