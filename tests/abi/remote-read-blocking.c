/* SPDX-License-Identifier: MIT */
/* A blocking read in another process sleeps until there is a message; a signal ends it. */
#include "procs.h"

static void on_usr1(int sig)
{
	(void)sig;
}

static int handler_main(int sock, void *arg)
{
	struct sigaction act = {.sa_handler = on_usr1};
	struct uffd_msg msg;
	int fd = recv_fd(sock);

	EQ(sigaction(SIGUSR1, &act, NULL), 0);
	tell(sock, 0);
	ERR(read(fd, &msg, sizeof msg), EINTR);
	act.sa_flags = SA_RESTART;
	EQ(sigaction(SIGUSR1, &act, NULL), 0);
	tell(sock, 0);
	EQ(read(fd, &msg, sizeof msg), sizeof msg);
	fault_at(__FILE__, __LINE__, msg, arg, 0);
	DONE(zeropage(fd, arg, PG, 0), PG);
	ERR(read(fd, &msg, sizeof msg - 1), EINVAL);
	ERR(read(fd, NULL, 0), EINVAL);
	/* The flag is of the open file, which both have. */
	tell(sock, 0);
	hear(sock);
	ERR(read(fd, &msg, sizeof msg), EAGAIN);
	return 0;
}

int main(void)
{
	struct thread t;

	start();
	char *p = map(1);
	struct peer handler = peer_start(handler_main, p);
	int fd = uffd_new(O_CLOEXEC);
	EQ(uffd_api(fd, 0), 0);
	EQ(reg(fd, p, PG, MISSING), 0);
	send_fd(handler.sock, fd);
	for (int i = 0; i < 2; i++) {
		hear(handler.sock);
		wait_state(handler.pid, 'S');
		EQ(kill(handler.pid, SIGUSR1), 0);
	}
	reader(&t, p);
	join(&t);
	EQ(t.byte, 0);
	hear(handler.sock);
	EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	tell(handler.sock, 0);
	peer_end(&handler);
	return 0;
}
