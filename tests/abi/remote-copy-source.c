/* SPDX-License-Identifier: MIT */
/* COPY reads the memory of the process that calls it: odd places, and what it lacks. */
#include "procs.h"

static int handler_main(int sock, void *arg)
{
	char *p = arg;
	int fd = recv_fd(sock);
	char *src = map(3);

	memset(src, 1, PG);
	memset(src + PG, 2, PG);
	DONE(copy(fd, p, src + PG - 7, PG, 0), PG);
	FAILS(copy(fd, p + PG, NULL, PG, 0), EFAULT);
	EQ(munmap(src + 2 * PG, PG), 0);
	/* The second page lacks its end. */
	PARTLY(copy(fd, p + PG, src + 1, 2 * PG, 0), PG);
	EQ(mprotect(src, PG, PROT_NONE), 0);
	FAILS(copy(fd, p + 2 * PG, src, PG, 0), EFAULT);
	return 0;
}

int main(void)
{
	start();
	char *p = map(3);
	struct peer handler = peer_start(handler_main, p);
	int fd = uffd_open(0);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	send_fd(handler.sock, fd);
	peer_end(&handler);
	CHECK(all(p, 7, 1));
	CHECK(all(p + 7, PG - 7, 2));
	CHECK(all(p + PG, PG - 1, 1));
	EQ(p[2 * PG - 1], 2);
	CHECK(!populated(p + 2 * PG));
	CHECK(quiet(fd));
	return 0;
}
