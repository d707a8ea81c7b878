/* SPDX-License-Identifier: MIT */
/* System calls read and write the inherited pages of the side that makes them. */
#include "procs.h"

static char *p;

static int child_main(int sock, void *arg)
{
	int pipes[2];
	char text[PG];

	(void)arg;
	EQ(pipe(pipes), 0);
	/* Out of a page that both have, into one, and into one that is missing in the parent. */
	EQ(write(pipes[1], p, 100), 100);
	EQ(read(pipes[0], text, 100), 100);
	CHECK(all(text, 100, 1));
	memset(text, 7, PG);
	EQ(write(pipes[1], text, PG), PG);
	EQ(read(pipes[0], p + PG - 50, PG), PG);
	CHECK(all(p, PG - 50, 1));
	CHECK(all(p + PG - 50, PG, 7));
	CHECK(all(p + 2 * PG - 50, 50, 2));
	EQ(write(pipes[1], text, 100), 100);
	EQ(read(pipes[0], p + 2 * PG, 100), 100);
	CHECK(all(p + 2 * PG, 100, 7));
	tell(sock, 0);
	hear(sock);
	CHECK(all(p + PG - 50, PG, 7));
	return 0;
}

int main(void)
{
	start();
	int fd = uffd_open(0), pipes[2];
	p = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	DONE(copy(fd, p, page_of(1), PG, 0), PG);
	DONE(copy(fd, p + PG, page_of(2), PG, 0), PG);
	struct peer child = peer_start(child_main, NULL);
	hear(child.sock);
	CHECK(quiet(fd));
	CHECK(all(p, PG, 1));
	CHECK(all(p + PG, PG, 2));
	EQ(pipe(pipes), 0);
	EQ(write(pipes[1], page_of(9), PG), PG);
	EQ(read(pipes[0], p + 100, PG), PG);
	CHECK(all(p + 100, PG, 9));
	tell(child.sock, 0);
	peer_end(&child);
	CHECK(quiet(fd));
	return 0;
}
