/* SPDX-License-Identifier: MIT */
/*
 * Write-protecting a populated range in one call, and lifting it again.
 *
 *     arm [MIB [ROUNDS]]
 *
 * Once over contents that were there before the range was registered ("own"), once over pages the
 * descriptor filled ("filled"). Every round writes each page in between, so that arming always
 * meets writable pages.
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
			area[at]++;
	}
	snprintf(name, sizeof(name), "arm-%s", kind);
	emit(name, samples_median(&arm), "ns");
	snprintf(name, sizeof(name), "disarm-%s", kind);
	emit(name, samples_median(&disarm), "ns");
	samples_free(&arm);
	samples_free(&disarm);
}

int main(int argc, char **argv)
{
	size_t len = number_argument(argc, argv, 1, 256) * MIB;
	size_t rounds = number_argument(argc, argv, 2, 7);
	uint8_t *own = map_small_pages(len);
	uint8_t *filled = map_small_pages(len);
	int fd = uffd_open(0, 0);

	check(len % PIECE == 0, "the range must be a multiple of 2 MiB");
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
	close(fd);
	return 0;
}
