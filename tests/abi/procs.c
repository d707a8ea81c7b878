/* SPDX-License-Identifier: MIT */
#include "procs.h"

#include <sys/socket.h>

struct peer peer_start(int (*fn)(int sock, void *arg), void *arg)
{
	int pair[2];

	EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		start();
		close(pair[0]);
		_exit(fn(pair[1], arg));
	}
	close(pair[1]);
	return (struct peer){pid, pair[0]};
}

void peer_end(struct peer *p)
{
	EQ(ends(p->pid), 0);
	close(p->sock);
}

void peer_kill(struct peer *p)
{
	EQ(kill(p->pid, SIGKILL), 0);
	EQ(ends(p->pid), -SIGKILL);
	close(p->sock);
}

static void carry(int sock, long value, int fd)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec data = {&value, sizeof value};
	struct msghdr msg = {.msg_iov = &data, .msg_iovlen = 1};

	if (fd >= 0) {
		memset(&control, 0, sizeof control);
		msg.msg_control = &control;
		msg.msg_controllen = sizeof control;
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
	}
	EQ(sendmsg(sock, &msg, MSG_NOSIGNAL), sizeof value);
}

void tell(int sock, long value)
{
	carry(sock, value, -1);
}

void send_fd(int sock, int fd)
{
	carry(sock, 0, fd);
}

static long take(int sock, int *fd)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	long value;
	struct iovec data = {&value, sizeof value};
	struct msghdr msg = {.msg_iov = &data,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof control};
	ssize_t n;

	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	EQ(n, sizeof value);
	if (fd) {
		EQ(msg.msg_controllen, sizeof control);
		memcpy(fd, CMSG_DATA(&control.header), sizeof *fd);
	}
	return value;
}

long hear(int sock)
{
	return take(sock, NULL);
}

int recv_fd(int sock)
{
	int fd;

	take(sock, &fd);
	return fd;
}

int ends(pid_t pid)
{
	int status;

	EQ(waitpid(pid, &status, __WALL), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

char state_of(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	return stat_state(path);
}

void wait_state(pid_t pid, char state)
{
	while (state_of(pid) != state)
		sched_yield();
}

static void *do_fork(void *arg)
{
	struct forker *f = arg;

	f->peer = peer_start(f->fn, f->arg);
	return NULL;
}

void fork_start(struct forker *f, int (*fn)(int sock, void *arg), void *arg)
{
	f->fn = fn;
	f->arg = arg;
	run(&f->thread, do_fork, f);
}

void fork_join(struct forker *f)
{
	join(&f->thread);
}

int next_fork(int fd)
{
	struct uffd_msg msg = next_msg(fd);

	EQ(msg.event, UFFD_EVENT_FORK);
	EQ(msg.raw[0] >> 32, 0);
	EQ(msg.raw[1], 0);
	EQ(msg.raw[2], 0);
	return (int)msg.raw[0];
}

int fork_with_event(int fd, struct forker *f, int (*fn)(int sock, void *arg), void *arg)
{
	fork_start(f, fn, arg);
	int child = next_fork(fd);
	fork_join(f);
	return child;
}
