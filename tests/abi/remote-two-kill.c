/* SPDX-License-Identifier: MIT */
/* Of two processes that serve, one is killed in the middle: the other goes on alone. */
#include "procs.h"

#define PAGES 64

static char *p;

static int handler_main(int sock, void *arg)
{
	int fd = recv_fd(sock);
	struct uffd_msg msg;

	(void)arg;
	do {
		msg = next_msg(fd);
		DONE(copy(fd, (char *)msg.pagefault.address, page_of(1), PG, 0), PG);
	} while (msg.event == UFFD_EVENT_PAGEFAULT);
	return 1;
}

static int silent_main(int sock, void *arg)
{
	int fd = recv_fd(sock);

	(void)arg;
	struct uffd_msg msg = next_msg(fd);
	tell(sock, (long)msg.pagefault.address);
	hear(sock);
	return 0;
}

int main(void)
{
	struct thread t;

	start();
	p = map(PAGES);
	struct peer silent = peer_start(silent_main, NULL);
	struct peer handler = peer_start(handler_main, NULL);
	int fd = uffd_open(0);
	EQ(reg(fd, p, PAGES * PG, MISSING), 0);
	send_fd(silent.sock, fd);
	reader(&t, p);
	EQ(hear(silent.sock), (long)p);
	send_fd(handler.sock, fd);
	close(fd);
	for (int i = 1; i < PAGES; i++) {
		EQ(p[i * PG], 1);
		if (i == PAGES / 2)
			peer_kill(&silent);
	}
	/* Its message went with the one that was killed. */
	CHECK(blocked(&t));
	peer_kill(&handler);
	join(&t);
	EQ(t.byte, 0);
	return 0;
}
