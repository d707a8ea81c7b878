/* SPDX-License-Identifier: MIT */
/*
 * What one fault costs when the faulting thread resolves it itself, in a callback of the Userfault
 * library.
 *
 *     callback [PAGES [PASSES]]
 *
 * The one program here that knows of Userfault; it does what sigbus does with the kernel's means.
 */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <userfault/userfault.h>

struct filler {
	struct uf_handler *handler;
	const void *page;
};

static int fill(const struct uf_fault *fault, void *argument)
{
	struct filler *f = argument;
	ssize_t n = uf_fill_copy(f->handler, (void *)(uintptr_t)fault->page, f->page, PAGE);

	return n < 0 ? (int)n : 0;
}

static void *map_managed(size_t len)
{
	int error = 0;
	void *area = uf_mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0,
			     &error);

	errno = -error;
	if (error)
		die("uf_mmap");
	return area;
}

int main(int argc, char **argv)
{
	size_t pages = number_argument(argc, argv, 1, 8192);
	size_t passes = number_argument(argc, argv, 2, 9);
	size_t len = pages * PAGE;
	uint64_t *stamp = calloc(pages + 1, sizeof(*stamp));
	uint8_t *page = map_anon(PAGE);
	volatile uint8_t *area = map_managed(len);
	struct filler filler = {.page = page};
	struct timings first = {0}, later = {0};

	if (!stamp)
		die("stamps");
	memset(page, 0x5a, PAGE);
	errno = -uf_handle((void *)area, len, UF_REGISTER_MODE_MISSING, fill, &filler,
			   &filler.handler);
	if (errno)
		die("uf_handle: %s", uf_why() ? uf_why() : "refused");
	for (size_t pass = 0; pass < passes; pass++) {
		unsigned long sum = 0;

		errno = pass ? -uf_madvise((void *)area, len, MADV_DONTNEED) : 0;
		if (errno)
			die("MADV_DONTNEED");
		stamp[0] = now_ns();
		for (size_t i = 0; i < pages; i++) {
			sum += area[i * PAGE];
			stamp[i + 1] = now_ns();
		}
		check(sum == pages * page[0], "a page did not hold what was copied into it");
		timings_add(pass ? &later : &first, stamp, pages);
	}
	timings_emit(&first, "callback-first");
	if (later.step.count)
		timings_emit(&later, "callback");
	free(stamp);
	return 0;
}
