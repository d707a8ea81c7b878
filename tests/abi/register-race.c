/* SPDX-License-Identifier: MIT */
/* Memory is registered and unregistered while threads write to it: no write is lost. */
#include "abi.h"

#define PAGES	16
#define THREADS 3
#define ROUNDS	1000

static char *p;
static atomic_bool stop;

struct counts {
	long page[PAGES];
};

static void *count_up(void *arg)
{
	size_t seed = (uintptr_t)arg;
	struct counts *mine = calloc(1, sizeof *mine);

	for (size_t i = seed; !stop; i++) {
		size_t page = i * 5 % PAGES;
		atomic_fetch_add((atomic_long *)(p + page * PG), 1);
		((volatile long *)(p + page * PG))[1 + seed]++;
		mine->page[page]++;
		if (i % 64 == 0)
			sched_yield();
	}
	return mine;
}

int main(void)
{
	struct thread t[THREADS];
	long total[PAGES] = {0};

	start();
	int fd = uffd_open(0);
	p = map(PAGES);
	for (size_t i = 0; i < PAGES; i++)
		memset(p + i * PG, 0, PG);
	for (size_t i = 0; i < THREADS; i++)
		run(&t[i], count_up, (void *)i);
	for (int i = 0; i < THREADS; i++)
		while (!t[i].tid)
			sched_yield();
	for (int i = 0; i < ROUNDS; i++) {
		sched_yield();
		size_t from = i % 5, pages = 1 + i % (PAGES - 5);
		EQ(reg(fd, p + from * PG, pages * PG, MISSING), 0);
		sched_yield();
		EQ(unreg(fd, p, PAGES * PG), 0);
	}
	stop = true;
	for (size_t i = 0; i < THREADS; i++) {
		struct counts *theirs;
		EQ(pthread_join(t[i].id, (void **)&theirs), 0);
		for (size_t page = 0; page < PAGES; page++) {
			EQ(((long *)(p + page * PG))[1 + i], theirs->page[page]);
			total[page] += theirs->page[page];
		}
	}
	for (size_t page = 0; page < PAGES; page++)
		EQ(*(long *)(p + page * PG), total[page]);
	CHECK(quiet(fd));
	return 0;
}
