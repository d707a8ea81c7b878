/* SPDX-License-Identifier: MIT */
/* A descriptor is initialised and registered by the process that it is sent to. */
#include "procs.h"

static int handler_main(int sock, void *arg)
{
	int fd = recv_fd(sock);

	EQ(reg(fd, arg, PG, MISSING), EINVAL);
	EQ(uffd_api(fd, 1ull << 60), EINVAL);
	EQ(uffd_api(fd, 0), 0);
	EQ(uffd_api(fd, 0), EINVAL);
	EQ(reg(fd, arg, PG, MISSING), 0);
	tell(sock, 0);
	FAULT(fd, arg, 0);
	DONE(copy(fd, arg, page_of(6), PG, 0), PG);
	return 0;
}

int main(void)
{
	start();
	char *p = map(1);
	struct peer handler = peer_start(handler_main, p);
	int fd = uffd_new(O_CLOEXEC | O_NONBLOCK);
	send_fd(handler.sock, fd);
	hear(handler.sock);
	EQ(uffd_api(fd, 0), EINVAL);
	EQ(p[0], 6);
	peer_end(&handler);
	CHECK(quiet(fd));
	return 0;
}
