/* SPDX-License-Identifier: MIT */
/* A thread waits in the middle of a range that another process fills at once. */
#include "procs.h"

#define PAGES 512ul

static int handler_main(int sock, void *arg)
{
	int fd = recv_fd(sock);
	char *src = map(PAGES);

	memset(src, 9, PAGES * PG);
	struct uffd_msg msg = next_msg(fd);
	EQ(msg.pagefault.address, (uintptr_t)arg + 300 * PG);
	DONE(copy(fd, arg, src, PAGES * PG, 0), PAGES * PG);
	return 0;
}

int main(void)
{
	start();
	char *p = map(PAGES);
	struct peer handler = peer_start(handler_main, p);
	int fd = uffd_open(0);
	EQ(reg(fd, p, PAGES * PG, MISSING), 0);
	send_fd(handler.sock, fd);
	CHECK(all(p + 300 * PG, PG, 9));
	CHECK(all(p, PAGES * PG, 9));
	peer_end(&handler);
	CHECK(quiet(fd));
	return 0;
}
