/* SPDX-License-Identifier: MIT */
/*
 * Write-protecting a populated range in one call, and lifting it again.
 *
 *     arm anon|shmem [MIB [ROUNDS]]
 *
 * anon: once over contents that were there before the range was registered ("own"), once over pages
 * the descriptor filled ("filled"). shmem: half of the range has no pages, and is protected like
 * the rest of it: every other page ("pages"), or every other 2 MiB ("blocks"). Every round writes
 * each page in between, so that arming always meets writable pages.
 */
#include "bench.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIECE (2 * MIB)

static void fill(int fd, uint8_t *area, size_t len)
{
	uint8_t *piece = map_small_pages(PIECE);

	memset(piece, 0x5a, PIECE);
	for (size_t at = 0; at < len; at += PIECE)
		uffd_copy(fd, area + at, piece, PIECE);
	munmap(piece, PIECE);
}

/* Of every two stretches of this length the first has pages; 0: they are everywhere. */
static size_t stretch;

static bool is_there(size_t at)
{
	return !stretch || at / stretch % 2 == 0;
}

static void measure(int fd, volatile uint8_t *area, size_t len, size_t rounds, const char *kind)
{
	struct samples arm = {0}, disarm = {0};
	double pages = (double)(len / PAGE);
	char name[32];

	for (size_t i = 0; i < rounds; i++) {
		uint64_t start, armed, lifted;

		start = now_ns();
		uffd_writeprotect(fd, (void *)area, len, UFFDIO_WRITEPROTECT_MODE_WP);
		armed = now_ns();
		uffd_writeprotect(fd, (void *)area, len, 0);
		lifted = now_ns();
		samples_add(&arm, (double)(armed - start) / pages);
		samples_add(&disarm, (double)(lifted - armed) / pages);
		for (size_t at = 0; at < len; at += PAGE)
			if (is_there(at))
				area[at]++;
	}
	snprintf(name, sizeof(name), "arm-%s", kind);
	emit(name, samples_median(&arm), "ns");
	snprintf(name, sizeof(name), "disarm-%s", kind);
	emit(name, samples_median(&disarm), "ns");
	samples_free(&arm);
	samples_free(&disarm);
}

static void run_anon(int fd, size_t len, size_t rounds)
{
	uint8_t *own = map_small_pages(len);
	uint8_t *filled = map_small_pages(len);

	memset(own, 1, len);
	uffd_register(fd, own, len, UFFDIO_REGISTER_MODE_WP);
	measure(fd, own, len, rounds, "own");
	check(own[0] == (uint8_t)(1 + rounds) && own[len - PAGE] == (uint8_t)(1 + rounds),
	      "contents were lost");
	uffd_unregister(fd, own, len);
	munmap(own, len);

	uffd_register(fd, filled, len, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP);
	fill(fd, filled, len);
	measure(fd, filled, len, rounds, "filled");
	check(filled[0] == (uint8_t)(0x5a + rounds), "contents were lost");
}

static void run_half(int fd, const struct memory_kind *kind, size_t len, size_t rounds,
		     const char *name)
{
	struct memory m;

	memory_map(&m, kind, len);
	for (size_t at = 0; at < len; at += PAGE)
		if (is_there(at))
			m.area[at] = 1;
	uffd_register(fd, m.area, len, UFFDIO_REGISTER_MODE_WP);
	measure(fd, m.area, len, rounds, name);
	for (size_t at = 0; at < len; at += PAGE)
		check(m.alias[at] == (is_there(at) ? (uint8_t)(1 + rounds) : 0),
		      "contents were lost");
	uffd_unregister(fd, m.area, len);
	memory_unmap(&m);
}

int main(int argc, char **argv)
{
	const struct memory_kind *kind = memory_kind(argv[0], argc > 1 ? argv[1] : "anon");
	size_t len = number_argument(argc, argv, 2, 256) * MIB;
	size_t rounds = number_argument(argc, argv, 3, 7);
	int fd = uffd_open(0, kind->wp_mode);

	check(len % PIECE == 0, "the range must be a multiple of 2 MiB");
	if (!kind->file) {
		run_anon(fd, len, rounds);
	} else {
		stretch = PAGE;
		run_half(fd, kind, len, rounds, "pages");
		stretch = PIECE;
		run_half(fd, kind, len, rounds, "blocks");
	}
	close(fd);
	return 0;
}
