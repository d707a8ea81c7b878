/* SPDX-License-Identifier: MIT */
/*
 * Two hundred processes with a thousand registered ranges each, whose faults all are served by one
 * process that made none of them; and nothing is left of them when they have ended.
 */
#include "abi.h"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "front/session.h"

#define PROCESSES 200
#define RANGES	  1000
#define TOUCHED	  4

static pid_t pid[PROCESSES];
static int sock[2];

static void give(int fd)
{
	char byte = 0, room[CMSG_SPACE(sizeof fd)] __attribute__((aligned(16))) = {0};
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = room,
			     .msg_controllen = sizeof room};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	EQ(sendmsg(sock[1], &msg, 0), 1);
}

static int take(void)
{
	char byte, room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(16)));
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = room,
			     .msg_controllen = sizeof room};
	int fd;

	EQ(recvmsg(sock[0], &msg, MSG_CMSG_CLOEXEC), 1);
	CHECK(CMSG_FIRSTHDR(&msg) != NULL);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof fd);
	return fd;
}

static int faulting_process(void)
{
	int fd = uffd_open(0);
	char *p = mmap(NULL, 2 * RANGES * PG, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	CHECK(p != MAP_FAILED);
	for (int i = 0; i < RANGES; i++)
		EQ(reg(fd, p + 2 * i * PG, PG, MISSING), 0);
	give(fd);
	close(fd);
	for (int i = 0; i < TOUCHED; i++)
		if (p[2 * (i * 249) * PG] != 6)
			return 1;
	return 0;
}

/* Faults come from anywhere until all have ended. */
static void serve_all(void)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), fds[PROCESSES], n, left = PROCESSES * TOUCHED;
	struct epoll_event events[16];
	struct uffd_msg msg;

	for (int i = 0; i < PROCESSES; i++) {
		fds[i] = take();
		struct epoll_event event = {.events = EPOLLIN, .data.fd = fds[i]};
		EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &event), 0);
	}
	while (left) {
		n = epoll_wait(ep, events, 16, -1);
		CHECK(n > 0);
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			while (read(fd, &msg, sizeof msg) == sizeof msg) {
				DONE(copy(fd, (void *)(uintptr_t)msg.pagefault.address, page_of(6),
					  PG, 0),
				     PG);
				left--;
			}
		}
	}
	for (int i = 0; i < PROCESSES; i++)
		close(fds[i]);
	close(ep);
}

/* Nobody but this process lives in the ledger, and it has not grown beyond those there were. */
static void check_ledger(void)
{
	struct session_header *h;
	struct stat st;
	char path[64];
	unsigned alive = 0;

	snprintf(path, sizeof path, "/proc/self/fd/%d", atoi(getenv(SESSION_ENV)));
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	h = mmap(NULL, SESSION_DOORS_AT, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(h != MAP_FAILED);
	CHECK(h->high <= PROCESSES + 2);
	for (unsigned i = 0; i < h->high; i++) {
		struct flock lock = {.l_type = F_WRLCK, .l_start = i, .l_len = 1};

		EQ(fcntl(fd, F_OFD_GETLK, &lock), 0);
		alive += lock.l_type != F_UNLCK;
	}
	EQ(alive, 1);
	/* Some pages for each of them, not a door full of data. */
	EQ(fstat(fd, &st), 0);
	CHECK(st.st_blocks * 512 < (PROCESSES + 2) * 64 * (long)PG);
}

int main(void)
{
	struct rlimit files = {4096, 4096};
	int status;

	start();
	alarm(300);
	setrlimit(RLIMIT_NOFILE, &files);
	EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock), 0);
	for (int i = 0; i < PROCESSES; i++) {
		pid[i] = fork();
		CHECK(pid[i] >= 0);
		if (!pid[i])
			_exit(faulting_process());
	}
	serve_all();
	for (int i = 0; i < PROCESSES; i++) {
		EQ(waitpid(pid[i], &status, 0), pid[i]);
		EQ(status, 0);
	}
	check_ledger();
	return 0;
}
