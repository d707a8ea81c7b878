/* SPDX-License-Identifier: MIT */
/* A descriptor goes to another process and comes back under another number: still the same. */
#include "procs.h"

static int handler_main(int sock, void *arg)
{
	(void)arg;
	int fd = recv_fd(sock);
	send_fd(sock, fd);
	close(fd);
	tell(sock, 0);
	hear(sock);
	return 0;
}

int main(void)
{
	struct thread t;

	start();
	char *p = map(2);
	struct peer handler = peer_start(handler_main, NULL);
	int fd = uffd_open(0);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	reader(&t, p);
	CHECK(blocked(&t));
	send_fd(handler.sock, fd);
	close(fd);
	int held = open("/dev/null", O_RDONLY | O_CLOEXEC);
	fd = recv_fd(handler.sock);
	hear(handler.sock);
	FAULT(fd, p, 0);
	DONE(copy(fd, p, page_of(2), PG, 0), PG);
	join(&t);
	EQ(t.byte, 2);
	reader(&t, p + PG);
	FAULT(fd, p + PG, 0);
	close(fd);
	join(&t);
	EQ(t.byte, 0);
	close(held);
	tell(handler.sock, 0);
	peer_end(&handler);
	return 0;
}
