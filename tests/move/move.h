/*
 * move.h - what the tests of snapshots and moves share.
 */
#ifndef TESTS_MOVE_H
#define TESTS_MOVE_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <userfault/pager.h>

#define PAGE 4096u
#define SKIP 77

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition,        \
				uf_pager_why());                                                   \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/* Pairs of pages far apart: a writer counts in the first one, then in the second. */
struct writer {
	pthread_t thread;
	_Atomic uint64_t *first, *second;
	size_t pages; /* of each half */
	_Atomic bool stop;
	_Atomic uint64_t rounds;
};

/* Contents that tell their page, where no writer counts. */
static inline void fill(char *memory, size_t len)
{
	for (size_t at = 0; at < len; at += PAGE) {
		if (at / PAGE % 7 == 3)
			continue; /* stays zero */
		for (size_t i = 64; i < PAGE; i += 8)
			*(uint64_t *)(memory + at + i) = at * 31 + i;
	}
}

static inline void *writer_main(void *arg)
{
	struct writer *w = arg;
	uint64_t n = 0;

	while (!w->stop) {
		size_t page = n * 2654435761u % w->pages;

		w->first[page * (PAGE / 8)] = n + 1;
		w->second[page * (PAGE / 8)] = n + 1;
		w->rounds = ++n;
	}
	return NULL;
}

static inline void writer_start(struct writer *w, char *memory, size_t len)
{
	w->first = (void *)memory;
	w->second = (void *)(memory + len / 2);
	w->pages = len / 2 / PAGE;
	w->stop = false;
	w->rounds = 0;
	CHECK(pthread_create(&w->thread, NULL, writer_main, w) == 0);
	while (w->rounds < 1000)
		;
}

static inline void writer_stop(struct writer *w)
{
	w->stop = true;
	pthread_join(w->thread, NULL);
}

/*
 * Is this what the memory was at one instant? Then the counts are those of some n: the highest
 * count of the first half is n or, if its second write was to come, n + 1, and no page is behind.
 */
static inline uint64_t check_instant(const char *image, size_t len)
{
	const uint64_t *first = (const void *)image, *second = (const void *)(image + len / 2);
	size_t pages = len / 2 / PAGE, apart = 0;
	uint64_t high_first = 0, high_second = 0;

	for (size_t i = 0; i < pages; i++) {
		uint64_t a = first[i * (PAGE / 8)], b = second[i * (PAGE / 8)];

		apart += a != b;
		high_first = a > high_first ? a : high_first;
		high_second = b > high_second ? b : high_second;
	}
	CHECK(high_first == high_second || high_first == high_second + 1);
	CHECK(apart == (high_first != high_second));
	/* Each page has the last of its rounds. */
	for (uint64_t n = 0; n < high_second; n++) {
		size_t page = n * 2654435761u % pages;

		CHECK(second[page * (PAGE / 8)] >= n + 1);
	}
	for (size_t at = 0; at < len; at += PAGE) {
		for (size_t i = 64; i < PAGE; i += 8)
			CHECK(*(const uint64_t *)(image + at + i) ==
			      (at / PAGE % 7 == 3 ? 0 : at * 31 + i));
	}
	return high_first;
}

#endif
