/* SPDX-License-Identifier: MIT */
/*
 * far-memory.c - memory that is larger than the machine: maps all of a source, uses it at random,
 * and keeps a small part of it in memory.
 *
 *   far-memory SOURCE [LIMIT-IN-MIB [TOUCHES]]
 *
 * SOURCE is anything that a pager reads: a file, nbd://..., rados:... Pages are fetched when they
 * are touched; when there are more than the limit, those go that were not used of late. Changes are
 * kept: a page that was written goes to a file in $TMPDIR, and comes back from there. The source
 * itself is never written.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <userfault/pager.h>

enum {
	PAGE = 4096,
	WRITES = 10, /* one touch in so many */
};

static int fail(const char *what)
{
	fprintf(stderr, "far-memory: %s: %s\n", what, uf_pager_why());
	return 1;
}

static uint64_t random_page(uint64_t *state, uint64_t pages)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (*state >> 20) % pages;
}

/* Writes to some pages, reads others, and finds what it wrote again. Returns how many were wrong.
 */
static unsigned use(char *memory, uint64_t pages, uint64_t touches)
{
	uint64_t writes = 1, reads = 2, sum = 0;
	unsigned wrong = 0;

	for (uint64_t i = 0; i < touches / WRITES; i++) {
		uint64_t page = random_page(&writes, pages);

		*(uint64_t *)(memory + page * PAGE + 8) = ~page;
	}
	for (uint64_t i = 0; i < touches; i++)
		sum += *(volatile unsigned char *)(memory + random_page(&reads, pages) * PAGE);
	writes = 1;
	for (uint64_t i = 0; i < touches / WRITES; i++) {
		uint64_t page = random_page(&writes, pages);

		wrong += *(uint64_t *)(memory + page * PAGE + 8) != ~page;
	}
	printf("sum of the bytes read: %" PRIu64 "\n", sum);
	return wrong;
}

int main(int argc, char **argv)
{
	struct uf_paged_options options = UF_PAGED_OPTIONS;
	uint64_t limit = argc > 2 ? strtoull(argv[2], NULL, 0) : 256;
	uint64_t touches = argc > 3 ? strtoull(argv[3], NULL, 0) : 200000;
	struct uf_paged_stats stats;
	struct uf_source *source;
	struct uf_pager *pager;
	struct uf_paged *paged;
	struct rusage usage;
	void *memory = NULL;
	uint64_t size;
	unsigned wrong;

	if (argc < 2) {
		fprintf(stderr, "usage: far-memory SOURCE [LIMIT-IN-MIB [TOUCHES]]\n");
		return 2;
	}
	options.flags = UF_PAGED_WRITABLE | UF_PAGED_DEMAND;
	options.limit = limit << 20;
	if (uf_pager_new(NULL, &pager) < 0 || uf_source_open(pager, argv[1], &source) < 0)
		return fail("source");
	size = uf_source_size(source) / PAGE * PAGE;
	if (uf_pager_map(pager, source, 0, size, &options, &memory, &paged) < 0)
		return fail("map");
	printf("%.1f GiB at %p, of which %" PRIu64 " MiB may be in memory\n",
	       (double)size / (1 << 30), memory, limit);

	wrong = use(memory, size / PAGE, touches);

	uf_paged_get_stats(paged, &stats);
	getrusage(RUSAGE_SELF, &usage);
	printf("%" PRIu64 " faults, half of them served within %.1f us; %" PRIu64
	       " pages left again, %" PRIu64 " of them changed\n",
	       stats.faults, (double)stats.p50_ns / 1000, stats.evicted, stats.spilled);
	printf("%" PRIu64 " MiB of it in memory; the most this process ever had: %ld MiB\n",
	       stats.resident * PAGE >> 20, usage.ru_maxrss >> 10);
	printf("changes that were lost: %u\n", wrong);
	uf_pager_free(pager);
	return wrong != 0;
}
