/* SPDX-License-Identifier: MIT */
/* Dirty tracking while threads write: what each scan reports and resets adds up to every change. */
#include "abi.h"

#define PAGES	64
#define THREADS 2
#define ROUNDS	20000

static char *p, *mirror;

static void *write_pages(void *arg)
{
	size_t seed = (uintptr_t)arg, page = seed;

	for (size_t i = 1; i <= ROUNDS; i++) {
		page = (page * 13 + 7 + seed) % PAGES;
		((volatile int *)(p + page * PG))[seed] = i;
	}
	return NULL;
}

/* Copies what was written since the last look. */
static void look(void)
{
	struct scan_region r[PAGES];
	struct scan_arg arg = {
		.flags = SCAN_WP_MATCHING | SCAN_CHECK_WPASYNC,
		.start = (uintptr_t)p,
		.end = (uintptr_t)p + PAGES * PG,
		.vec = (uintptr_t)r,
		.vec_len = PAGES,
		.category_mask = CAT_WRITTEN,
		.return_mask = CAT_WRITTEN,
	};
	long n = scan(&arg);

	CHECK(n >= 0);
	for (long i = 0; i < n; i++)
		memcpy(mirror + (r[i].start - (uintptr_t)p), (char *)r[i].start,
		       r[i].end - r[i].start);
}

int main(void)
{
	struct thread t[THREADS];

	start();
	int fd = uffd_open(UFFD_FEATURE_WP_ASYNC);
	p = map(PAGES);
	mirror = map(PAGES);
	EQ(reg(fd, p, PAGES * PG, WP), 0);
	EQ(protect(fd, p, PAGES * PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	for (size_t i = 0; i < THREADS; i++)
		run(&t[i], write_pages, (void *)i);
	while (!t[0].done || !t[1].done)
		look();
	for (int i = 0; i < THREADS; i++)
		join(&t[i]);
	look();
	EQ(memcmp(p, mirror, PAGES * PG), 0);
	EQ(protect(fd, p, PAGES * PG, 0), 0);
	CHECK(quiet(fd));
	return 0;
}
