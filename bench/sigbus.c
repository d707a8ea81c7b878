/* SPDX-License-Identifier: MIT */
/*
 * What one fault costs when the faulting thread resolves it itself, in its SIGBUS handler.
 *
 *     sigbus [PAGES [PASSES]]
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	size_t pages = number_argument(argc, argv, 1, 8192);
	size_t passes = number_argument(argc, argv, 2, 9);
	size_t len = pages * PAGE;
	uint64_t *stamp = calloc(pages + 1, sizeof(*stamp));
	uint8_t *page = map_anon(PAGE);
	volatile uint8_t *area = map_small_pages(len);
	int fd = uffd_open(0, UFFD_FEATURE_SIGBUS);
	struct timings first = {0}, later = {0};

	if (!stamp)
		die("stamps");
	memset(page, 0x5a, PAGE);
	uffd_register(fd, (void *)area, len, UFFDIO_REGISTER_MODE_MISSING);
	fill_on_sigbus(fd, page);
	for (size_t pass = 0; pass < passes; pass++) {
		unsigned long sum = 0;

		if (pass && madvise((void *)area, len, MADV_DONTNEED))
			die("MADV_DONTNEED");
		stamp[0] = now_ns();
		for (size_t i = 0; i < pages; i++) {
			sum += area[i * PAGE];
			stamp[i + 1] = now_ns();
		}
		check(sum == pages * page[0], "a page did not hold what was copied into it");
		timings_add(pass ? &later : &first, stamp, pages);
	}
	timings_emit(&first, "sigbus-first");
	if (later.step.count)
		timings_emit(&later, "sigbus");
	free(stamp);
	close(fd);
	return 0;
}
