/* SPDX-License-Identifier: MIT */
/* Memory is mapped over again and again while threads read it: there is never nothing there. */
#include "abi.h"

#define PAGES	4
#define THREADS 2
#define ROUNDS	600

static char *p, *src;
static int fd;
static atomic_bool stop;

static void *read_all(void *arg)
{
	(void)arg;
	for (size_t i = 0; !stop; i++) {
		char byte = ((volatile char *)p)[i % PAGES * PG + i % PG];
		CHECK(byte == 0 || byte == 5);
		if (i % 64 == 0)
			sched_yield();
	}
	return NULL;
}

static void *serve(void *arg)
{
	(void)arg;
	while (!stop) {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		struct uffd_msg msg;

		if (poll(&ready, 1, 10) != 1 || read(fd, &msg, sizeof msg) < 0)
			continue;
		char *page = (char *)msg.pagefault.address;
		/* By now it may be filled, or no longer registered: a look for oneself decides. */
		if (copy(fd, page, src, PG, 0).err)
			EQ(wake(fd, page, PG), 0);
	}
	return NULL;
}

int main(void)
{
	struct thread t[THREADS], server;

	start();
	fd = uffd_open(0);
	p = map(PAGES);
	src = page_of(5);
	EQ(reg(fd, p, PAGES * PG, MISSING), 0);
	for (int i = 0; i < THREADS; i++)
		run(&t[i], read_all, NULL);
	run(&server, serve, NULL);
	for (int i = 0; i < THREADS; i++)
		while (!t[i].tid)
			sched_yield();
	for (int i = 0; i < ROUNDS; i++) {
		sched_yield();
		EQ((long)mmap(p, PAGES * PG, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
		   (long)p);
		sched_yield();
		EQ(reg(fd, p, PAGES * PG, MISSING), 0);
		sched_yield();
		/* Waiters of the range that goes are let go by the handler. */
		if (i % 2)
			EQ(unreg(fd, p, PAGES * PG), 0);
	}
	EQ(unreg(fd, p, PAGES * PG), 0);
	EQ(wake(fd, p, PAGES * PG), 0);
	stop = true;
	for (int i = 0; i < THREADS; i++)
		join(&t[i]);
	join(&server);
	return 0;
}
