/* SPDX-License-Identifier: MIT */
/*
 * Random reads over more memory than the program may have.
 *
 *     thrash [MIB [MILLISECONDS]]
 *
 * The limit comes from outside: a memory control group with swap, or `userfault run
 * --memory-limit`. The range is registered, which is what makes it Userfault's to limit, but for
 * write-protection only: no fault gets as far as the descriptor. Prints the reads in a second, and,
 * where the kernel did the swapping, the major faults.
 */
#include "bench.h"

#include <sys/resource.h>
#include <unistd.h>

/* Reads between two looks at the clock. */
#define BATCH 64

static uint64_t major_faults(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage))
		die("getrusage");
	return (uint64_t)usage.ru_majflt;
}

/* One word in the middle of a page, which says which page it is. */
static uint64_t read_page(const uint8_t *area, uint64_t number)
{
	const volatile uint64_t *word = (const volatile uint64_t *)(area + number * PAGE);

	return word[PAGE / sizeof(*word) / 2];
}

static uint64_t expected(uint64_t number)
{
	static uint64_t page[PAGE / sizeof(uint64_t)];

	fill_page((uint8_t *)page, number);
	return page[PAGE / sizeof(*page) / 2];
}

int main(int argc, char **argv)
{
	size_t len = number_argument(argc, argv, 1, 256) * MIB;
	uint64_t duration = number_argument(argc, argv, 2, 3000) * 1000000;
	size_t pages = len / PAGE;
	uint8_t *area = map_small_pages(len);
	int fd = uffd_open(0, 0);
	uint64_t seed = 88172645463325252, step = expected(1) - expected(0), base = expected(0);
	uint64_t reads = 0, faults, start, now;

	uffd_register(fd, area, len, UFFDIO_REGISTER_MODE_WP);
	for (size_t i = 0; i < pages; i++)
		fill_page(area + i * PAGE, i);
	faults = major_faults();
	start = now_ns();
	do {
		for (int i = 0; i < BATCH; i++) {
			uint64_t number;

			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			number = seed % pages;
			check(read_page(area, number) == base + number * step,
			      "a page lost its contents");
		}
		reads += BATCH;
		now = now_ns();
	} while (now - start < duration);
	faults = major_faults() - faults;
	emit("thrash-reads", (double)reads * 1e9 / (double)(now - start), "reads/s");
	emit("thrash-read", (double)(now - start) / (double)reads, "ns");
	emit("thrash-time", (double)(now - start) / 1e9, "s");
	if (faults)
		emit("thrash-faults", (double)faults * 1e9 / (double)(now - start), "faults/s");
	close(fd);
	return 0;
}
