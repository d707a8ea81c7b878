/* SPDX-License-Identifier: MIT */
/* A descriptor is sent to another process and closed here: that process serves the faults. */
#include "procs.h"

static int handler_main(int sock, void *arg)
{
	struct memory *m = arg;
	size_t u = m->unit;
	int fd = recv_fd(sock);

	tell(sock, 0);
	FAULT(fd, m->p, 0);
	wait_state(getppid(), 'S');
	DONE(copy(fd, m->p, source(m, 1, 1), u, 0), u);
	FAULT(fd, m->p + u, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(copy(fd, m->p + u, source(m, 1, 2), u, 0), u);
	hear(sock);
	CHECK(quiet(fd));
	return 0;
}

static void check(struct memory *m)
{
	size_t u = m->unit;
	/* Before the descriptor is made: it can only come by the socket. */
	struct peer handler = peer_start(handler_main, m);
	int fd = uffd_open(0);

	REGISTERS(fd, m, MISSING);
	send_fd(handler.sock, fd);
	close(fd);
	hear(handler.sock);
	EQ(m->p[0], 1);
	CHECK(all(m->p, u, 1));
	put(m->p + u + 3, 5);
	EQ(get(m->p + u), 2);
	EQ(get(m->p + u + 3), 5);
	if (m->kind == ANON_SHARED || m->kind == MEMFD)
		CHECK(file_is(m, 0, 1));
	tell(handler.sock, 0);
	peer_end(&handler);
}

int main(void)
{
	start();
	return each(ANON | SHMEM | HUGE, 2, check);
}
