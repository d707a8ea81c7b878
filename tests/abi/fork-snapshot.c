/* SPDX-License-Identifier: MIT */
/*
 * A thread of the parent writes page after page during many forks. Each child has one moment of
 * that: an earlier page is not behind a later one, and nothing of it changes any more.
 */
#include "procs.h"

#define PAGES 32
#define FORKS 30

static atomic_bool stop;
static _Atomic uint64_t rounds;

static uint64_t value(struct memory *m, size_t i)
{
	return *(volatile uint64_t *)(m->p + i * m->unit);
}

static void *keep_writing(void *arg)
{
	struct memory *m = arg;

	for (uint64_t n = 1; !stop; n++) {
		for (int i = 0; i < PAGES; i++)
			*(volatile uint64_t *)(m->p + i * m->unit) = n;
		rounds = n;
		if (n % 8 == 0)
			sched_yield();
	}
	return NULL;
}

static int child_main(int sock, void *arg)
{
	struct memory *m = arg;
	uint64_t seen[PAGES];

	for (int i = 0; i < PAGES; i++)
		seen[i] = value(m, i);
	tell(sock, seen[0]);
	hear(sock);
	for (int i = 0; i < PAGES; i++) {
		EQ(value(m, i), seen[i]);
		CHECK(i == 0 || seen[i] == seen[i - 1] || seen[i] + 1 == seen[i - 1]);
	}
	CHECK(seen[PAGES - 1] == seen[0] || seen[PAGES - 1] + 1 == seen[0]);
	return 0;
}

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	struct thread t;

	REGISTERS(fd, m, MISSING);
	for (int i = 0; i < PAGES; i++)
		DONE(zeropage(fd, m->p + i * PG, PG, 0), PG);
	stop = false;
	rounds = 0;
	run(&t, keep_writing, m);
	for (int i = 0; i < FORKS; i++) {
		struct peer child = peer_start(child_main, m);
		uint64_t then = hear(child.sock);
		/* The parent goes on writing to pages that both still show. */
		while (rounds < then + 2)
			sched_yield();
		tell(child.sock, 0);
		peer_end(&child);
	}
	stop = true;
	join(&t);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	return each(ANON | MEMFD_PRIVATE, PAGES, check);
}
