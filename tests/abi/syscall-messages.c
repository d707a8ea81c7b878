/* SPDX-License-Identifier: MIT */
/* sendmsg and recvmsg with everything in missing pages: nothing is lost on any type of socket. */
#include "served.h"

#include <sys/socket.h>
#include <sys/un.h>

static void *message(void *data, size_t len, void *control, size_t room)
{
	struct iovec iov[2] = {{data, len / 2}, {(char *)data + len / 2, len - len / 2}};
	struct msghdr msg = {.msg_iov = lend(iov, sizeof iov),
			     .msg_iovlen = 2,
			     .msg_control = control,
			     .msg_controllen = room};

	return lend(&msg, sizeof msg);
}

/* A descriptor comes along. */
static void *rights(int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr head;
	} control = {.head = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};

	memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
	return lend(&control, sizeof control);
}

static void over(int type)
{
	int pair[2], got = -1;
	size_t space = CMSG_SPACE(sizeof(int));
	char sent[2 * PG], *data;

	for (size_t i = 0; i < sizeof sent; i++)
		sent[i] = (char)(i * 7);
	EQ(socketpair(AF_UNIX, type, 0, pair), 0);
	/* The header, the vector, the control data, three pages of data. */
	EQ(SYS(SYS_sendmsg, pair[0],
	       message(lend_over(sent, sizeof sent), sizeof sent, rights(pair[0]), space), 0),
	   sizeof sent);
	ASKED(6);
	EQ(SYS(SYS_sendmsg, pair[0], message(lend("second", 6), 6, NULL, 0), 0), 6);
	ASKED(3);

	data = lend_over(NULL, sizeof sent);
	char *control = lend(NULL, space);
	struct msghdr *msg = message(data, sizeof sent, control, space);
	EQ(SYS(SYS_recvmsg, pair[1], msg, 0), sizeof sent);
	ASKED(6);
	CHECK(memcmp(data, sent, sizeof sent) == 0);
	EQ(msg->msg_controllen, space);
	memcpy(&got, CMSG_DATA((struct cmsghdr *)control), sizeof got);
	CHECK(got > pair[1] && fcntl(got, F_GETFD) >= 0);
	close(got);
	data = lend(NULL, 100);
	msg = message(data, 100, NULL, 0);
	EQ(SYS(SYS_recvmsg, pair[1], msg, 0), 6);
	ASKED(3);
	CHECK(memcmp(data, "second", 6) == 0);

	/* What does not fit is cut off, and said to be. */
	if (type != SOCK_STREAM) {
		EQ(send(pair[0], sent, 500, 0), 500);
		data = lend(NULL, 100);
		msg = message(data, 100, NULL, 0);
		EQ(SYS(SYS_recvmsg, pair[1], msg, MSG_TRUNC), 500);
		CHECK(memcmp(data, sent, 100) == 0);
		EQ(msg->msg_flags & MSG_TRUNC, MSG_TRUNC);
		ASKED(3);
	}

	/* Several at a time. */
	struct mmsghdr many[2] = {0};
	for (int i = 0; i < 2; i++) {
		memcpy(sent, i ? "four" : "three", 5);
		struct iovec iov = {lend(sent, 5 - i), 5 - i};
		many[i].msg_hdr.msg_iov = lend(&iov, sizeof iov);
		many[i].msg_hdr.msg_iovlen = 1;
	}
	struct mmsghdr *out = lend(many, sizeof many);
	EQ(SYS(SYS_sendmmsg, pair[0], out, 2, 0), 2);
	ASKED(5);
	EQ(out[1].msg_len, 4);
	if (type == SOCK_STREAM)
		return;
	struct iovec iov[2] = {{lend(NULL, 10), 10}, {lend(NULL, 10), 10}};
	for (int i = 0; i < 2; i++)
		many[i].msg_hdr.msg_iov = lend(&iov[i], sizeof iov[i]);
	struct mmsghdr *in = lend(many, sizeof many);
	EQ(SYS(SYS_recvmmsg, pair[1], in, 2, 0, NULL), 2);
	ASKED(5);
	EQ(in[0].msg_len, 5);
	EQ(in[1].msg_len, 4);
	CHECK(memcmp(iov[0].iov_base, "three", 5) == 0);
	CHECK(memcmp(iov[1].iov_base, "four", 4) == 0);
}

int main(void)
{
	serve();
	about = "stream";
	over(SOCK_STREAM);
	about = "datagram";
	over(SOCK_DGRAM);
	about = "seqpacket";
	over(SOCK_SEQPACKET);
	return 0;
}
