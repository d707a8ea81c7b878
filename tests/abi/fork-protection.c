/* SPDX-License-Identifier: MIT */
/* Inherited pages keep the protection of their mapping, and the child changes its own alone. */
#include "procs.h"

static char *p;

static int child_main(int sock, void *arg)
{
	(void)arg;
	EQ(p[0], 1);
	EQ(try_write(p, 2, NULL), SIGSEGV);
	EQ(try_read(p + PG, NULL), SIGSEGV);
	EQ(mprotect(p, 2 * PG, PROT_READ | PROT_WRITE), 0);
	CHECK(all(p, 2 * PG, 1));
	memset(p, 3, 2 * PG);
	EQ(mprotect(p, PG, PROT_NONE), 0);
	EQ(try_read(p, NULL), SIGSEGV);
	tell(sock, 0);
	hear(sock);
	CHECK(all(p + PG, PG, 3));
	EQ(mprotect(p, PG, PROT_READ), 0);
	CHECK(all(p, PG, 3));
	return 0;
}

int main(void)
{
	start();
	int fd = uffd_open(0);
	p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	DONE(copy(fd, p, page_of(1), PG, 0), PG);
	DONE(copy(fd, p + PG, page_of(1), PG, 0), PG);
	EQ(mprotect(p, PG, PROT_READ), 0);
	EQ(mprotect(p + PG, PG, PROT_NONE), 0);
	struct peer child = peer_start(child_main, NULL);
	hear(child.sock);
	CHECK(all(p, PG, 1));
	EQ(try_write(p, 2, NULL), SIGSEGV);
	EQ(try_read(p + PG, NULL), SIGSEGV);
	EQ(mprotect(p, 2 * PG, PROT_READ | PROT_WRITE), 0);
	memset(p, 5, 2 * PG);
	tell(child.sock, 0);
	peer_end(&child);
	CHECK(all(p, 2 * PG, 5));
	CHECK(quiet(fd));
	return 0;
}
