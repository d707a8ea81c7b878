/* SPDX-License-Identifier: MIT */
/*
 * A running thread whose stack, with what libc and the kernel keep for it at the top, is
 * write-protected again and again: the kernel writes there whenever the thread was off its CPU.
 */
#include "libc-serve.h"

#define PAGES  32
#define TOP    4
#define ROUNDS 200

static _Atomic bool stop;
static _Atomic unsigned turns;

static void *work(void *arg)
{
	int n = 0;

	while (!atomic_load(&stop)) {
		errno = ++n;
		sched_yield();
		EQ(errno, n);
		atomic_fetch_add(&turns, 1);
	}
	return arg;
}

int main(void)
{
	struct server server;
	char *stack, *top;
	pthread_attr_t attr;
	unsigned before;
	pthread_t id;

	start();
	stack = map(PAGES);
	top = stack + (PAGES - TOP) * PG;
	memset(stack, 0, PAGES * PG);
	serve(&server, uffd_open_full(0), NULL);
	EQ(reg(server.fd, stack, PAGES * PG, WP), 0);
	EQ(pthread_attr_init(&attr), 0);
	EQ(pthread_attr_setstack(&attr, stack, PAGES * PG), 0);
	EQ(pthread_create(&id, &attr, work, NULL), 0);
	while (atomic_load(&turns) == 0)
		sched_yield();
	for (int i = 0; i < ROUNDS; i++) {
		before = atomic_load(&turns);
		EQ(protect(server.fd, top, TOP * PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
		while (atomic_load(&turns) - before < 2)
			sched_yield();
	}
	CHECK(served(&server) >= ROUNDS);
	atomic_store(&stop, true);
	EQ(pthread_join(id, NULL), 0);
	serve_no_more(&server);
	return 0;
}
