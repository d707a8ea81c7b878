/* SPDX-License-Identifier: MIT */
/* Signals rain on threads that fault: every access ends up with the right contents. */
#include "abi.h"

#define PAGES	400
#define THREADS 3

static char *p;
static atomic_int handled, finished;

static void on_usr1(int sig)
{
	(void)sig;
	handled++;
}

static void *visit(void *arg)
{
	size_t seed = (uintptr_t)arg;

	for (size_t i = 0; i < PAGES; i++) {
		size_t page = (i + seed * 100) % PAGES;
		EQ(((volatile unsigned char *)p)[page * PG + i], page % 256);
	}
	finished++;
	while (finished < THREADS + 1)
		sched_yield();
	return NULL;
}

static void *kill_all(void *arg)
{
	struct thread *t = arg;

	while (finished < THREADS) {
		for (int i = 0; i < THREADS; i++)
			EQ(pthread_kill(t[i].id, SIGUSR1), 0);
		sched_yield();
	}
	finished++;
	return NULL;
}

int main(void)
{
	struct sigaction act = {.sa_handler = on_usr1, .sa_flags = SA_RESTART};
	struct thread t[THREADS], killer;
	char *src = map(1);

	start();
	EQ(sigaction(SIGUSR1, &act, NULL), 0);
	int fd = uffd_open(0);
	p = map(PAGES);
	EQ(reg(fd, p, PAGES * PG, MISSING), 0);
	for (size_t i = 0; i < THREADS; i++)
		run(&t[i], visit, (void *)i);
	run(&killer, kill_all, t);
	for (size_t left = PAGES; left;) {
		struct uffd_msg msg = next_msg(fd);
		EQ(msg.event, UFFD_EVENT_PAGEFAULT);
		char *page = (char *)msg.pagefault.address;
		memset(src, (page - p) / PG, PG);
		struct outcome got = copy(fd, page, src, PG, 0);
		if (got.err == EEXIST) {
			EQ(wake(fd, page, PG), 0);
			continue;
		}
		EQ(got.err, 0);
		left--;
	}
	for (int i = 0; i < THREADS; i++)
		join(&t[i]);
	join(&killer);
	CHECK(handled > 0);
	return 0;
}
