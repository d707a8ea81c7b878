/*
 * keep-limit.c - memory of the program's own through the library: more than there may be at a time.
 *
 * keep-limit [GiB]   that much memory, of which some is used (default 8)
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <userfault/pager.h>

#include "rig.h"

#define LIMIT	(8ull << 20)
#define THREADS 3

static uint64_t *mem;
static uint64_t pages;
static unsigned flags;

static int fill(void *arg, uint64_t offset, void *buf, size_t len)
{
	uint64_t *word = buf;

	(void)arg;
	for (size_t i = 0; i < len / 8; i++)
		word[i] = (offset + i * 8) * 0x9e3779b97f4a7c15ull + 1;
	return 0;
}

static uint64_t expected(uint64_t page)
{
	return page * PAGE * 0x9e3779b97f4a7c15ull + 1;
}

static uint64_t resident(void *addr, uint64_t len)
{
	static unsigned char vec[1 << 18];
	uint64_t n = 0;

	for (uint64_t at = 0; at < len; at += sizeof(vec) * PAGE) {
		uint64_t part = len - at < sizeof(vec) * PAGE ? len - at : sizeof(vec) * PAGE;

		CHECK(!mincore((char *)addr + at, part, vec));
		for (uint64_t i = 0; i < part / PAGE; i++)
			n += vec[i] & 1;
	}
	return n;
}

/* Writes its own pages, several times over, and knows what it wrote. */
static void *writer(void *arg)
{
	uint64_t me = (uintptr_t)arg, n = LIMIT / PAGE, step = pages / (n * THREADS) * THREADS;

	for (uint64_t round = 0; round < 4; round++) {
		for (uint64_t i = 0; i < n; i++) {
			uint64_t page = (i * step + me) % pages;
			uint64_t *p = mem + page * PAGE / 8;

			if (round == 0)
				CHECK(p[0] == expected(page));
			else if (i % 3 == 0)
				CHECK(p[0] == page + round - 1);
			if (i % 3 == 0)
				p[0] = page + round;
			CHECK(p[1] == expected(page) + 8 * 0x9e3779b97f4a7c15ull);
		}
	}
	return NULL;
}

static void test_writes(struct uf_pager *pager, struct uf_source *source)
{
	struct uf_paged_options o = UF_PAGED_OPTIONS;
	struct uf_paged_stats stats;
	struct uf_paged *paged;
	pthread_t t[THREADS];
	void *addr = NULL;
	int err;

	o.flags = UF_PAGED_WRITABLE | flags;
	o.limit = LIMIT;
	err = uf_pager_map(pager, source, 0, uf_source_size(source), &o, &addr, &paged);
	if (err)
		fprintf(stderr, "%s\n", uf_pager_why());
	CHECK(!err);
	mem = addr;
	pages = uf_source_size(source) / PAGE;
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&t[i], NULL, writer, (void *)i));
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	uf_paged_get_stats(paged, &stats);
	fprintf(stderr, "%llu faults, %llu filled, %llu evicted, %llu spilled, %llu resident\n",
		(unsigned long long)stats.faults, (unsigned long long)stats.filled,
		(unsigned long long)stats.evicted, (unsigned long long)stats.spilled,
		(unsigned long long)stats.resident);
	CHECK(stats.evicted > 0 && stats.spilled > 0);
	CHECK(stats.resident <= LIMIT / PAGE + 64);
	if (!(flags & UF_PAGED_OWN))
		CHECK(resident(addr, uf_source_size(source)) <= LIMIT / PAGE + 64);
	CHECK(!uf_pager_detach(paged));
}

/* A copy between many pages at the smallest limit there is. */
static void test_small(struct uf_pager *pager, struct uf_source *source)
{
	struct uf_paged_options o = UF_PAGED_OPTIONS;
	struct uf_paged *paged;
	void *addr = NULL;

	o.flags = UF_PAGED_WRITABLE | flags;
	o.limit = PAGE;
	CHECK(!uf_pager_map(pager, source, PAGE, 4 << 20, &o, &addr, &paged));
	memmove((char *)addr + 100, (char *)addr + (2 << 20) + 1000, 1 << 20);
	for (uint64_t i = 0; i < (1 << 20) - 8; i += 4096) {
		uint64_t word, have, at = PAGE + (2 << 20) + 1000 + i;

		word = at / 8 * 8 * 0x9e3779b97f4a7c15ull + 1;
		memcpy(&have, (char *)addr + 100 + i, 8);
		CHECK(have == word);
	}
	CHECK(!uf_pager_detach(paged));
}

/* Neighbours come along where they are of use, and only there. */
static void test_neighbours(struct uf_pager *pager, struct uf_source *source)
{
	struct uf_paged_options o = UF_PAGED_OPTIONS;
	struct uf_paged_stats in_order, anywhere;
	struct uf_paged *paged;
	uint64_t some = (8 * LIMIT) / PAGE, all = (128 * LIMIT) / PAGE, state = 1;
	void *addr = NULL;

	o.flags = UF_PAGED_DEMAND | flags;
	o.limit = LIMIT;
	CHECK(!uf_pager_map(pager, source, 0, all * PAGE, &o, &addr, &paged));
	for (uint64_t i = 0; i < some; i++)
		CHECK(((uint64_t *)addr)[i * PAGE / 8] == expected(i));
	uf_paged_get_stats(paged, &in_order);
	CHECK(in_order.faults < some / 4);
	for (uint64_t i = 0; i < some; i++) {
		uint64_t page;

		state = state * 6364136223846793005ull + 1442695040888963407ull;
		page = (state >> 33) % all;
		CHECK(((uint64_t *)addr)[page * PAGE / 8] == expected(page));
	}
	uf_paged_get_stats(paged, &anywhere);
	CHECK(anywhere.faults - in_order.faults > some / 2);
	CHECK(anywhere.evicted - in_order.evicted < 2 * some);
	/* And in order again. */
	for (uint64_t i = 0; i < some; i++)
		CHECK(((uint64_t *)addr)[i * PAGE / 8] == expected(i));
	uf_paged_get_stats(paged, &in_order);
	CHECK(in_order.faults - anywhere.faults < some / 4);
	CHECK(!uf_pager_detach(paged));
}

int main(int argc, char **argv)
{
	uint64_t size = (argc > 1 && atoi(argv[1]) ? (uint64_t)atoi(argv[1]) : 8) << 30;
	struct uf_source *source;
	struct uf_pager *pager;

	flags = argc > 2 && !strcmp(argv[2], "own") ? UF_PAGED_OWN : UF_PAGED_KERNEL;
	if (flags & UF_PAGED_KERNEL)
		rig_need_uffd();
	CHECK(!uf_pager_new(NULL, &pager));
	CHECK(!uf_source_new(pager, size, 65536, 2, fill, NULL, &source));
	test_writes(pager, source);
	test_small(pager, source);
	test_neighbours(pager, source);
	CHECK(!uf_source_close(source));
	uf_pager_free(pager);
	return 0;
}
