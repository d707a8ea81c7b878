/* SPDX-License-Identifier: MIT */
/* A grandchild whose parent has gone still has its pages, while the first process goes on. */
#include "procs.h"

static char *p;

static int grandchild_main(int sock, void *arg)
{
	(void)arg;
	hear(sock);
	for (int i = 0; i < 8; i++)
		EQ(p[i * PG], i < 4 ? 1 : 2);
	tell(sock, 0);
	hear(sock);
	return 0;
}

static int child_main(int sock, void *arg)
{
	memset(p + 4 * PG, 2, 4 * PG);
	struct peer child = peer_start(grandchild_main, arg);
	send_fd(sock, child.sock);
	return 0;
}

int main(void)
{
	start();
	int fd = uffd_open(0);
	p = map(8);
	EQ(reg(fd, p, 8 * PG, MISSING), 0);
	for (int i = 0; i < 8; i++)
		DONE(copy(fd, p + i * PG, page_of(1), PG, 0), PG);
	struct peer child = peer_start(child_main, NULL);
	int sock = recv_fd(child.sock);
	peer_end(&child);
	memset(p, 3, 8 * PG);
	EQ(madvise(p + PG, PG, MADV_DONTNEED), 0);
	DONE(copy(fd, p + PG, page_of(4), PG, 0), PG);
	EQ(munmap(p + 2 * PG, PG), 0);
	tell(sock, 0);
	hear(sock);
	CHECK(all(p, PG, 3));
	CHECK(all(p + PG, PG, 4));
	tell(sock, 0);
	return 0;
}
