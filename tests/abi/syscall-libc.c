/* SPDX-License-Identifier: MIT */
/* The C library's functions for system calls, handed missing pages. */
#include "served.h"

#include <dirent.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>

static const struct timespec soon = {0, 1000};

static void paths(void)
{
	struct stat *st = lend_over(NULL, sizeof *st);
	char *text = lend_over(NULL, 200), name[] = "/tmp/abi-libc-XXXXXX", renamed[64];

	EQ(stat(lend_string("/dev/null"), st), 0);
	ASKED(3);
	CHECK(S_ISCHR(st->st_mode));
	EQ(access(lend_string("/dev/null"), R_OK), 0);
	CHECK(getcwd(text, 200) == text);
	EQ(readlink(lend_string("/proc/self/exe"), lend(NULL, 500), 500) > 0, 1);
	char *made = lend(name, sizeof name);
	int fd = mkstemp(made);
	CHECK(fd >= 0);
	snprintf(renamed, sizeof renamed, "/tmp/abi-libc-renamed-%d", getpid());
	EQ(rename(made, lend_string(renamed)), 0);
	EQ(unlink(lend_string(renamed)), 0);
	EQ(fstat(fd, st = lend(NULL, sizeof *st)), 0);
	EQ(st->st_nlink, 0);
	close(fd);
	FILE *f = fopen(lend_string("/proc/self/stat"), "r");
	CHECK(f);
	setvbuf(f, lend(NULL, PG), _IOFBF, PG);
	CHECK(fgets(lend_over(NULL, 400), 400, f));
	fclose(f);
	struct utsname *u = lend(NULL, sizeof *u);
	EQ(uname(u), 0);
	EQ(strcmp(u->sysname, "Linux"), 0);
	struct rusage *usage = lend(NULL, sizeof *usage);
	EQ(getrusage(RUSAGE_SELF, usage), 0);
	CHECK(asked() > 5);
}

static void waiting(void)
{
	int *pair = lend_over(NULL, 2 * sizeof(int));
	sigset_t none;

	sigemptyset(&none);
	EQ(pipe(pair), 0);
	ASKED(2);
	EQ(write(pair[1], lend_over("waiting", 7), 7), 7);
	ASKED(2);
	struct pollfd one = {pair[0], POLLIN, 0}, *fds = lend(&one, sizeof one);
	EQ(poll(fds, 1, 1000), 1);
	EQ(fds->revents, POLLIN);
	fds = lend_over(&one, sizeof one);
	EQ(ppoll(fds, 1, lend(&soon, sizeof soon), lend(&none, sizeof none)), 1);
	EQ(fds->revents, POLLIN);
	fd_set set, *in;
	FD_ZERO(&set);
	FD_SET(pair[0], &set);
	in = lend_over(&set, sizeof set);
	struct timeval tv = {1, 0};
	EQ(select(pair[1] + 1, in, lend(&set, sizeof set), NULL, lend(&tv, sizeof tv)), 1);
	CHECK(FD_ISSET(pair[0], in));
	in = lend(&set, sizeof set);
	EQ(pselect(pair[1] + 1, in, NULL, NULL, lend(&soon, sizeof soon), lend(&none, sizeof none)),
	   1);
	CHECK(FD_ISSET(pair[0], in));
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {EPOLLIN | EPOLLET, {.u64 = 99}}, *events;
	EQ(epoll_ctl(ep, EPOLL_CTL_ADD, pair[0], lend(&event, sizeof event)), 0);
	events = lend_over(NULL, 2 * sizeof event);
	EQ(epoll_wait(ep, events, 2, 1000), 1);
	EQ(events->data.u64, 99);
	CHECK(asked() > 8);
	EQ(nanosleep(lend(&soon, sizeof soon), NULL), 0);
	EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, lend(&soon, sizeof soon), NULL), 0);
	ASKED(2);
	pid_t child = vfork();
	if (child == 0)
		_exit(9);
	int *status = lend(NULL, sizeof *status);
	EQ(waitpid(child, status, 0), child);
	EQ(WEXITSTATUS(*status), 9);
	ASKED(1);
	sigset_t *old = lend(NULL, sizeof *old);
	EQ(sigprocmask(SIG_BLOCK, lend(&none, sizeof none), old), 0);
	EQ(sigismember(old, SIGUSR1), 0);
	struct sigaction *act = lend(NULL, sizeof *act);
	EQ(sigaction(SIGUSR1, NULL, act), 0);
	CHECK(act->sa_handler == SIG_DFL);
	CHECK(asked() >= 3);
}

static void *connect_to(void *arg)
{
	int client = socket(AF_INET, SOCK_STREAM, 0);

	EQ(connect(client, lend(arg, sizeof(struct sockaddr_in)), sizeof(struct sockaddr_in)), 0);
	return NULL;
}

static void sockets(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof addr, *out_len;
	struct sockaddr_in *out = lend(NULL, sizeof *out);
	int server = socket(AF_INET, SOCK_STREAM, 0), *value = lend(NULL, 4), pair[2];
	struct thread t;

	EQ(bind(server, lend(&addr, sizeof addr), sizeof addr), 0);
	EQ(listen(server, 1), 0);
	EQ(getsockname(server, (void *)out, lend(&len, sizeof len)), 0);
	run(&t, connect_to, out);
	struct sockaddr_in *peer = lend_over(NULL, sizeof *peer);
	CHECK(accept(server, (void *)peer, out_len = lend(&len, sizeof len)) >= 0);
	EQ(*out_len, sizeof addr);
	EQ(peer->sin_addr.s_addr, addr.sin_addr.s_addr);
	join(&t);
	EQ(getsockopt(server, SOL_SOCKET, SO_ACCEPTCONN, value, lend(&len, sizeof len)), 0);
	EQ(*value, 1);
	CHECK(asked() > 7);
	EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, lend_over(NULL, 2 * sizeof(int))), 0);
	ASKED(2);
	EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	struct iovec iov = {lend_over("seqpacket", 9), 9};
	struct msghdr msg = {.msg_iov = lend(&iov, sizeof iov), .msg_iovlen = 1};
	EQ(sendmsg(pair[0], lend(&msg, sizeof msg), 0), 9);
	ASKED(4);
	char *text = lend_over(NULL, 50);
	EQ(recv(pair[1], text, 50, 0), 9);
	ASKED(1);
	CHECK(memcmp(text, "seqpacket", 9) == 0);
	EQ(send(pair[0], lend("again", 5), 5, 0), 5);
	struct iovec in = {text = lend(NULL, 50), 50};
	msg.msg_iov = lend(&in, sizeof in);
	EQ(recvmsg(pair[1], lend(&msg, sizeof msg), 0), 5);
	ASKED(4);
	CHECK(memcmp(text, "again", 5) == 0);
}

int main(void)
{
	serve();
	paths();
	waiting();
	sockets();
	return 0;
}
