/* SPDX-License-Identifier: MIT */
/*
 * Filling a range in large pieces and touching every page of it once.
 *
 *     copy [MIB [ROUNDS]]
 *
 * "fresh" maps and registers a new range each round; "again" drops the contents of one range with
 * MADV_DONTNEED. The fill and the touch are also told apart.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIECE (2 * MIB)

struct cost {
	struct samples fill, touch, both;
};

static void touch_read(volatile uint8_t *area, size_t len, const uint8_t *piece)
{
	unsigned long sum = 0;

	for (size_t at = 0; at < len; at += PAGE)
		sum += area[at];
	check(sum == len / PAGE * piece[0], "a page did not hold what was copied into it");
}

static void touch_write(volatile uint8_t *area, size_t len)
{
	for (size_t at = 0; at < len; at += PAGE)
		area[at] = 1;
}

static void fill_and_touch(int fd, uint8_t *area, size_t len, const uint8_t *piece, bool writing,
			   struct cost *cost)
{
	double pages = (double)(len / PAGE);
	uint64_t start = now_ns(), filled, touched;

	for (size_t at = 0; at < len; at += PIECE)
		uffd_copy(fd, area + at, piece, PIECE);
	filled = now_ns();
	if (writing)
		touch_write(area, len);
	else
		touch_read(area, len, piece);
	touched = now_ns();
	samples_add(&cost->fill, (double)(filled - start) / pages);
	samples_add(&cost->touch, (double)(touched - filled) / pages);
	samples_add(&cost->both, (double)(touched - start) / pages);
}

static void emit_cost(const char *when, bool writing, struct cost *cost)
{
	char name[64];
	int n = snprintf(name, sizeof(name), "copy-%s-%s", when, writing ? "write" : "read");

	emit(name, samples_median(&cost->both), "ns");
	strcpy(name + n, "-fill");
	emit(name, samples_median(&cost->fill), "ns");
	strcpy(name + n, "-touch");
	emit(name, samples_median(&cost->touch), "ns");
	samples_free(&cost->both);
	samples_free(&cost->fill);
	samples_free(&cost->touch);
}

static void run_fresh(int fd, size_t len, size_t rounds, const uint8_t *piece, bool writing)
{
	struct cost cost = {0};

	for (size_t i = 0; i < rounds; i++) {
		uint8_t *area = map_small_pages(len);

		uffd_register(fd, area, len, UFFDIO_REGISTER_MODE_MISSING);
		fill_and_touch(fd, area, len, piece, writing, &cost);
		uffd_unregister(fd, area, len);
		munmap(area, len);
	}
	emit_cost("fresh", writing, &cost);
}

static void run_again(int fd, size_t len, size_t rounds, const uint8_t *piece, bool writing)
{
	uint8_t *area = map_small_pages(len);
	struct cost unused = {0}, cost = {0};

	uffd_register(fd, area, len, UFFDIO_REGISTER_MODE_MISSING);
	for (size_t i = 0; i <= rounds; i++) {
		fill_and_touch(fd, area, len, piece, writing, i ? &cost : &unused);
		if (madvise(area, len, MADV_DONTNEED))
			die("MADV_DONTNEED");
	}
	uffd_unregister(fd, area, len);
	munmap(area, len);
	samples_free(&unused.both);
	samples_free(&unused.fill);
	samples_free(&unused.touch);
	emit_cost("again", writing, &cost);
}

int main(int argc, char **argv)
{
	size_t len = number_argument(argc, argv, 1, 256) * MIB;
	size_t rounds = number_argument(argc, argv, 2, 3);
	uint8_t *piece = map_small_pages(PIECE);
	int fd = uffd_open(0, 0);

	check(len % PIECE == 0, "the range must be a multiple of 2 MiB");
	memset(piece, 0x5a, PIECE);
	for (int writing = 0; writing <= 1; writing++) {
		run_fresh(fd, len, rounds, piece, writing);
		run_again(fd, len, rounds, piece, writing);
	}
	close(fd);
	return 0;
}
