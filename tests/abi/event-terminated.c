/* SPDX-License-Identifier: MIT */
/* A call that waits for its event to be read does not keep its process from being terminated. */
#include "procs.h"

static int owner_main(int sock, void *arg)
{
	int fd = uffd_open(UFFD_FEATURE_EVENT_UNMAP);

	EQ(reg(fd, arg, 2 * PG, MISSING), 0);
	send_fd(sock, fd);
	EQ(munmap(arg, PG), 0);
	return 1;
}

int main(void)
{
	static const int signals[] = {SIGTERM, SIGALRM, SIGKILL};

	start();
	char *p = map(2);
	for (int i = 0; i < 3; i++) {
		struct peer owner = peer_start(owner_main, p);
		int fd = recv_fd(owner.sock);
		wait_state(owner.pid, 'D');
		EQ(kill(owner.pid, signals[i]), 0);
		EQ(ends(owner.pid), -signals[i]);
		CHECK(quiet(fd));
		close(owner.sock);
		close(fd);
	}
	return 0;
}
