/* SPDX-License-Identifier: MIT */
/*
 * Does a fault stay as cheap when very many pages, filled in random order, are there already?
 *
 *     many sigbus|read PAGES [FEW]
 *
 * Fills FEW pages (20,000) several times over and takes the median pass, then PAGES once; both in
 * random order, every page by a fault of its own. Prints the mean cost of a fault in each, mappings
 * in use, and memory used beyond the pages themselves.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FEW_PASSES 5

/* Mean cost of touching each page once, in the given order. */
static double touch_all(volatile uint8_t *area, const uint32_t *order, size_t pages, uint8_t expect)
{
	unsigned long sum = 0;
	uint64_t start = now_ns(), end;

	for (size_t i = 0; i < pages; i++)
		sum += area[(size_t)order[i] * PAGE];
	end = now_ns();
	check(sum == pages * expect, "a page did not hold what was copied into it");
	return (double)(end - start) / (double)pages;
}

static size_t count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	size_t lines = 0;
	int c;

	if (!maps)
		die("/proc/self/maps");
	while ((c = getc(maps)) != EOF)
		lines += c == '\n';
	fclose(maps);
	return lines;
}

/* A field of /proc/self/status, in KiB. */
static double status_kib(const char *field)
{
	FILE *status = fopen("/proc/self/status", "r");
	double kib = -1;
	char line[256];

	if (!status)
		die("/proc/self/status");
	while (fgets(line, sizeof(line), status))
		if (!strncmp(line, field, strlen(field)) && line[strlen(field)] == ':')
			kib = atof(line + strlen(field) + 1);
	fclose(status);
	check(kib >= 0, "a field is not in /proc/self/status");
	return kib;
}

static void emit_as(const char *engine, const char *what, double value, const char *unit)
{
	char name[64];

	snprintf(name, sizeof(name), "many-%s-%s", engine, what);
	emit(name, value, unit);
}

static double fill_few(int fd, size_t few, uint8_t expect)
{
	volatile uint8_t *area = map_small_pages(few * PAGE);
	uint32_t *order = random_order(few, 20);
	struct samples cost = {0};
	double median;

	uffd_register(fd, (void *)area, few * PAGE, UFFDIO_REGISTER_MODE_MISSING);
	for (int pass = 0; pass < FEW_PASSES; pass++) {
		samples_add(&cost, touch_all(area, order, few, expect));
		if (madvise((void *)area, few * PAGE, MADV_DONTNEED))
			die("MADV_DONTNEED");
	}
	median = samples_median(&cost);
	samples_free(&cost);
	uffd_unregister(fd, (void *)area, few * PAGE);
	munmap((void *)area, few * PAGE);
	free(order);
	return median;
}

int main(int argc, char **argv)
{
	if (argc < 3 || (strcmp(argv[1], "sigbus") && strcmp(argv[1], "read"))) {
		fprintf(stderr, "usage: many sigbus|read PAGES [FEW]\n");
		return 2;
	}

	const char *engine = argv[1];
	bool sigbus = !strcmp(engine, "sigbus");
	size_t pages = number_argument(argc, argv, 2, 0);
	size_t few = number_argument(argc, argv, 3, 20000);
	uint8_t *page = map_anon(PAGE);
	volatile uint8_t *area = map_small_pages(pages * PAGE);
	uint32_t *order = random_order(pages, 1000);
	int fd = uffd_open(0, sigbus ? UFFD_FEATURE_SIGBUS : 0);
	struct reader reader = {.fd = fd, .page = page, .page_size = PAGE, .cpu = -1};
	double cost_few, cost_many;

	warm_up_memory(pages * PAGE);
	memset(page, 0x5a, PAGE);
	if (sigbus)
		fill_on_sigbus(fd, page);
	else
		reader_start(&reader);
	cost_few = fill_few(fd, few, page[0]);
	uffd_register(fd, (void *)area, pages * PAGE, UFFDIO_REGISTER_MODE_MISSING);
	cost_many = touch_all(area, order, pages, page[0]);

	emit_as(engine, "few", cost_few, "ns");
	emit_as(engine, "many", cost_many, "ns");
	emit_as(engine, "growth", cost_many / cost_few, "x");
	emit_as(engine, "maps", (double)count_mappings(), "mappings");
	emit_as(engine, "pages", (double)pages, "pages");
	emit_as(engine, "rss", status_kib("VmRSS") / 1024, "MiB");
	emit_as(engine, "host-tables", status_kib("VmPTE") * 1024 / (double)pages, "B/page");
	emit_as(engine, "retouch", touch_all(area, order, pages, page[0]), "ns");
	if (!sigbus) {
		if (madvise((void *)area, PAGE, MADV_DONTNEED))
			die("MADV_DONTNEED");
		reader_finish(&reader, area);
	}
	free(order);
	close(fd);
	return 0;
}
