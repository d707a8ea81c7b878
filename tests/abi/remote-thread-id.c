/* SPDX-License-Identifier: MIT */
/* Messages that another process reads name the thread that waits. */
#include "procs.h"

static int handler_main(int sock, void *arg)
{
	int fd = recv_fd(sock);

	for (int i = 0; i < 2; i++) {
		pid_t tid = hear(sock);
		struct uffd_msg msg = next_msg(fd);
		EQ(msg.pagefault.ptid, tid);
		DONE(zeropage(fd, (char *)arg + i * PG, PG, 0), PG);
	}
	return 0;
}

static void *touch(void *arg)
{
	struct peer *handler = ((void **)arg)[0];

	tell(handler->sock, gettid());
	EQ(*((char **)arg)[1], 0);
	return NULL;
}

int main(void)
{
	struct thread t;

	start();
	char *p = map(2);
	struct peer handler = peer_start(handler_main, p);
	int fd = uffd_open(UFFD_FEATURE_THREAD_ID);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	send_fd(handler.sock, fd);
	touch((void *[]){&handler, p});
	run(&t, touch, (void *[]){&handler, p + PG});
	join(&t);
	peer_end(&handler);
	return 0;
}
