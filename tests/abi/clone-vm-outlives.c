/* SPDX-License-Identifier: MIT */
/* The process that made the descriptor ends; one that shares its memory goes on using both. */
#include "procs.h"

static char *p;
static int fd, sock;
static pid_t first;
static _Alignas(16) char stack[65536];

static int sibling_main(void *arg)
{
	(void)arg;
	/* Until it is a zombie: then it has left the memory. */
	while (state_of(first) != 'Z')
		sched_yield();
	put(p + PG, get(p) + 1);
	long value = p[PG];
	return write(sock, &value, sizeof value) == sizeof value ? 0 : 1;
}

static int owner_main(int to_parent, void *arg)
{
	(void)arg;
	sock = to_parent;
	first = getpid();
	fd = uffd_open(0);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	send_fd(sock, fd);
	pid_t pid = clone(sibling_main, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL);
	CHECK(pid > 0);
	return 4;
}

int main(void)
{
	start();
	p = map(2);
	struct peer owner = peer_start(owner_main, NULL);
	int child = recv_fd(owner.sock);
	FAULT(child, p, 0);
	DONE(copy(child, p, page_of(8), PG, 0), PG);
	FAULT(child, p + PG, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(zeropage(child, p + PG, PG, 0), PG);
	EQ(hear(owner.sock), 9);
	EQ(ends(owner.pid), 4);
	return 0;
}
