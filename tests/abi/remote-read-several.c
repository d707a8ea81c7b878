/* SPDX-License-Identifier: MIT */
/* One read in another process takes several messages; readv, too. */
#include "procs.h"

#include <sys/uio.h>

#define THREADS 4

static int handler_main(int sock, void *arg)
{
	struct uffd_msg msgs[3], rest[2];
	struct iovec parts[] = {{rest, 40}, {(char *)rest + 40, 24}};
	int fd = recv_fd(sock);
	char *p = arg;

	EQ(read(fd, msgs, sizeof *msgs * 2 + 20), 2 * sizeof *msgs);
	EQ(readv(fd, parts, 2), 2 * sizeof *rest);
	fault_at(__FILE__, __LINE__, msgs[0], p, 0);
	fault_at(__FILE__, __LINE__, msgs[1], p + PG, 0);
	fault_at(__FILE__, __LINE__, rest[0], p + 2 * PG, 0);
	fault_at(__FILE__, __LINE__, rest[1], p + 3 * PG, 0);
	ERR(read(fd, msgs, sizeof msgs), EAGAIN);
	DONE(zeropage(fd, p, THREADS * PG, 0), THREADS * PG);
	return 0;
}

int main(void)
{
	struct thread t[THREADS];

	start();
	char *p = map(THREADS);
	struct peer handler = peer_start(handler_main, p);
	int fd = uffd_open(0);
	EQ(reg(fd, p, THREADS * PG, MISSING), 0);
	for (int i = 0; i < THREADS; i++) {
		reader(&t[i], p + i * PG);
		CHECK(blocked(&t[i]));
	}
	send_fd(handler.sock, fd);
	for (int i = 0; i < THREADS; i++)
		join(&t[i]);
	peer_end(&handler);
	return 0;
}
