/* SPDX-License-Identifier: MIT */
/* The source of a COPY is missing in the process that calls it, and served there first. */
#include "procs.h"

#define PAGES 3

static void *serve(void *arg)
{
	int own = *(int *)arg;

	for (int i = 0; i < PAGES; i++) {
		struct uffd_msg msg = next_msg(own);
		EQ(msg.event, UFFD_EVENT_PAGEFAULT);
		DONE(copy(own, (char *)msg.pagefault.address, page_of(30 + i), PG, 0), PG);
	}
	return NULL;
}

static int handler_main(int sock, void *arg)
{
	int fd = recv_fd(sock), own = uffd_open_full(0);
	char *p = arg, *src = map(PAGES);
	struct thread t;

	EQ(reg(own, src, PAGES * PG, MISSING), 0);
	run(&t, serve, &own);
	DONE(copy(fd, p, src, PAGES * PG, 0), PAGES * PG);
	join(&t);
	return 0;
}

int main(void)
{
	start();
	char *p = map(PAGES);
	struct peer handler = peer_start(handler_main, p);
	int fd = uffd_open_full(0);
	EQ(reg(fd, p, PAGES * PG, MISSING), 0);
	send_fd(handler.sock, fd);
	peer_end(&handler);
	for (int i = 0; i < PAGES; i++)
		CHECK(all(p + i * PG, PG, 30 + i));
	CHECK(quiet(fd));
	return 0;
}
