/* SPDX-License-Identifier: MIT */
/* A snapshot by write protection: each page is saved before its first change, and no change is
 * lost. */
#include "abi.h"

#define PAGES	128
#define THREADS 3

static char *p;

static void *change_all(void *arg)
{
	size_t seed = (uintptr_t)arg;

	for (size_t i = 0; i < PAGES; i++) {
		size_t page = (i * 37 + seed * 41) % PAGES;
		atomic_fetch_add((atomic_int *)(p + page * PG), 1);
		p[page * PG + 100 + seed] = 2;
	}
	return NULL;
}

int main(void)
{
	struct thread t[THREADS];
	bool saved[PAGES] = {false};

	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	int fd = uffd_open(0);
	p = map(PAGES);
	for (size_t i = 0; i < PAGES; i++) {
		memset(p + i * PG, 1, PG);
		*(int *)(p + i * PG) = i;
	}
	EQ(reg(fd, p, PAGES * PG, WP), 0);
	EQ(protect(fd, p, PAGES * PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	for (size_t i = 0; i < THREADS; i++)
		run(&t[i], change_all, (void *)i);
	for (size_t left = PAGES; left;) {
		struct uffd_msg msg = next_msg(fd);
		size_t page = (msg.pagefault.address - (uintptr_t)p) / PG;
		CHECK(page < PAGES);
		fault_at(__FILE__, __LINE__, msg, p + page * PG,
			 UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
		if (!saved[page]) {
			EQ(*(int *)(p + page * PG), page);
			CHECK(all(p + page * PG + sizeof(int), PG - sizeof(int), 1));
			saved[page] = true;
			left--;
		}
		EQ(protect(fd, p + page * PG, PG, 0), 0);
	}
	for (int i = 0; i < THREADS; i++)
		join(&t[i]);
	for (size_t i = 0; i < PAGES; i++) {
		EQ(*(int *)(p + i * PG), i + THREADS);
		CHECK(all(p + i * PG + 100, THREADS, 2));
		CHECK(all(p + i * PG + 100 + THREADS, PG - 100 - THREADS, 1));
	}
	return 0;
}
