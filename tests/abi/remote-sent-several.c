/* SPDX-License-Identifier: MIT */
/* One message carries two userfaultfds with an ordinary descriptor between them. */
#include "procs.h"

#include <sys/socket.h>

union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(3 * sizeof(int))];
};

static void begin(struct msghdr *msg, struct iovec *data, union control *control)
{
	static char byte;

	memset(control, 0, sizeof *control);
	*data = (struct iovec){&byte, 1};
	*msg = (struct msghdr){.msg_iov = data,
			       .msg_iovlen = 1,
			       .msg_control = control,
			       .msg_controllen = CMSG_SPACE(3 * sizeof(int))};
}

static int handler_main(int sock, void *arg)
{
	union control control;
	struct msghdr msg;
	struct iovec data;
	char *p = arg;
	int fds[3];

	begin(&msg, &data, &control);
	EQ(recvmsg(sock, &msg, 0), 1);
	CHECK(!(msg.msg_flags & MSG_CTRUNC));
	EQ(control.header.cmsg_len, CMSG_LEN(sizeof fds));
	memcpy(fds, CMSG_DATA(&control.header), sizeof fds);
	EQ(fcntl(fds[0], F_GETFD), 0);
	FAULT(fds[0], p, 0);
	CHECK(quiet(fds[2]));
	DONE(copy(fds[0], p, page_of(1), PG, 0), PG);
	FAULT(fds[2], p + 2 * PG, 0);
	DONE(copy(fds[2], p + 2 * PG, page_of(3), PG, 0), PG);
	EQ(write(fds[1], "end", 3), 3);
	return 0;
}

int main(void)
{
	union control control;
	struct msghdr msg;
	struct iovec data;
	int pipes[2];
	char text[4];

	start();
	char *p = map(3);
	struct peer handler = peer_start(handler_main, p);
	EQ(pipe(pipes), 0);
	int fds[] = {uffd_open(0), pipes[1], uffd_open(0)};
	EQ(reg(fds[0], p, PG, MISSING), 0);
	EQ(reg(fds[2], p + 2 * PG, PG, MISSING), 0);
	begin(&msg, &data, &control);
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof fds);
	memcpy(CMSG_DATA(&control.header), fds, sizeof fds);
	EQ(sendmsg(handler.sock, &msg, 0), 1);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	EQ(get(p), 1);
	EQ(get(p + 2 * PG), 3);
	EQ(read(pipes[0], text, sizeof text), 3);
	peer_end(&handler);
	return 0;
}
