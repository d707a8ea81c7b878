/* SPDX-License-Identifier: MIT */
/*
 * Registering memory that already has contents, then touching it page by page.
 *
 *     populated [MIB [ROUNDS]]
 */
#include "bench.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void one_round(int fd, size_t len, bool writing, struct samples *registering,
		      struct samples *touching)
{
	volatile uint8_t *area = map_small_pages(len);
	unsigned long sum = 0;
	uint64_t start, registered, touched;

	memset((void *)area, 7, len);
	start = now_ns();
	uffd_register(fd, (void *)area, len, UFFDIO_REGISTER_MODE_MISSING);
	registered = now_ns();
	if (writing)
		for (size_t at = 0; at < len; at += PAGE)
			area[at] = 7;
	else
		for (size_t at = 0; at < len; at += PAGE)
			sum += area[at];
	touched = now_ns();
	check(writing || sum == len / PAGE * 7, "contents were lost by registering");
	samples_add(registering, (double)(registered - start) / 1e3);
	samples_add(touching, (double)(touched - registered) / (double)(len / PAGE));
	uffd_unregister(fd, (void *)area, len);
	munmap((void *)area, len);
}

int main(int argc, char **argv)
{
	size_t len = number_argument(argc, argv, 1, 256) * MIB;
	size_t rounds = number_argument(argc, argv, 2, 3);
	struct samples registering = {0}, reading = {0}, writing = {0};
	int fd = uffd_open(0, 0);

	for (size_t i = 0; i < rounds; i++) {
		one_round(fd, len, false, &registering, &reading);
		one_round(fd, len, true, &registering, &writing);
	}
	emit("register-populated", samples_median(&registering), "us");
	emit("populated-read", samples_median(&reading), "ns");
	emit("populated-write", samples_median(&writing), "ns");
	close(fd);
	return 0;
}
