/* SPDX-License-Identifier: MIT */
/* Protections that allow reading come and go while threads read: none of them ever fails. */
#include "abi.h"

#define PAGES	8
#define THREADS 2
#define ROUNDS	1500

static char *p;
static atomic_bool stop;

static void *read_all(void *arg)
{
	(void)arg;
	for (size_t i = 0; !stop; i++) {
		EQ(((volatile char *)p)[i % PAGES * PG + i % PG], 5);
		if (i % 64 == 0)
			sched_yield();
	}
	return NULL;
}

int main(void)
{
	struct thread t[THREADS];

	start();
	int fd = uffd_open(0);
	p = map(PAGES);
	memset(p, 5, PG);
	EQ(reg(fd, p, PAGES * PG, MISSING), 0);
	for (int i = 1; i < PAGES; i++)
		DONE(copy(fd, p + i * PG, page_of(5), PG, 0), PG);
	for (int i = 0; i < THREADS; i++)
		run(&t[i], read_all, NULL);
	for (int i = 0; i < THREADS; i++)
		while (!t[i].tid)
			sched_yield();
	for (int i = 0; i < ROUNDS; i++) {
		sched_yield();
		size_t from = i % 3, pages = 1 + i % (PAGES - 3);
		EQ(mprotect(p + from * PG, pages * PG, PROT_READ), 0);
		EQ(mprotect(p, PAGES * PG, i % 2 ? PROT_READ : PROT_READ | PROT_WRITE), 0);
		if (i % 4 == 0)
			EQ(mprotect(p, PAGES * PG, PROT_READ | PROT_WRITE), 0);
	}
	stop = true;
	for (int i = 0; i < THREADS; i++)
		join(&t[i]);
	CHECK(quiet(fd));
	return 0;
}
