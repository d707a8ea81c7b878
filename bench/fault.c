/* SPDX-License-Identifier: MIT */
/*
 * What one fault costs when another thread resolves it.
 *
 *     fault missing|wp read|poll|epoll [PAGES [PASSES [two]]]
 *
 * With "two", the faulting thread and the reader each have a CPU of their own; without, the
 * scheduler places them. The first pass over the range is told apart from the later ones: there the
 * memory the pages are made of is new.
 */
#include "bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const wait_names[] = {"read", "poll", "epoll"};

static enum reader_wait parse_wait(const char *name)
{
	for (size_t i = 0; i < sizeof(wait_names) / sizeof(wait_names[0]); i++)
		if (!strcmp(name, wait_names[i]))
			return (enum reader_wait)i;
	fprintf(stderr, "fault: no way to wait is called '%s'\n", name);
	exit(2);
}

static void pass_missing(volatile uint8_t *area, size_t pages, uint64_t *stamp, uint8_t expect)
{
	unsigned long sum = 0;

	stamp[0] = now_ns();
	for (size_t i = 0; i < pages; i++) {
		sum += area[i * PAGE];
		stamp[i + 1] = now_ns();
	}
	check(sum == pages * expect, "a page did not hold what was copied into it");
}

static void pass_wp(volatile uint8_t *area, size_t pages, uint64_t *stamp)
{
	stamp[0] = now_ns();
	for (size_t i = 0; i < pages; i++) {
		area[i * PAGE]++;
		stamp[i + 1] = now_ns();
	}
}

static void rearm(bool wp, int fd, void *area, size_t len)
{
	if (wp)
		uffd_writeprotect(fd, area, len, UFFDIO_WRITEPROTECT_MODE_WP);
	else if (madvise(area, len, MADV_DONTNEED))
		die("MADV_DONTNEED");
}

int main(int argc, char **argv)
{
	bool two_cpus = argc > 5;

	if (argc < 3 || (strcmp(argv[1], "missing") && strcmp(argv[1], "wp")) ||
	    (two_cpus && strcmp(argv[5], "two"))) {
		fprintf(stderr, "usage: fault missing|wp read|poll|epoll [PAGES [PASSES [two]]]\n");
		return 2;
	}

	bool wp = !strcmp(argv[1], "wp");
	enum reader_wait wait = parse_wait(argv[2]);
	size_t pages = number_argument(argc, argv, 3, 4096);
	size_t passes = number_argument(argc, argv, 4, 5);
	size_t len = pages * PAGE;
	uint64_t *stamp = calloc(pages + 1, sizeof(*stamp));
	uint8_t *page = map_anon(PAGE);
	uint8_t *area = map_small_pages(len);
	int fd = uffd_open(wait == WAIT_READ ? 0 : O_NONBLOCK, 0);
	struct reader reader = {.fd = fd, .wait = wait, .faults = pages * passes};
	struct timings first = {0}, later = {0};
	char name[32], name_first[48];

	if (!stamp)
		die("stamps");
	memset(page, 0x5a, PAGE);
	if (wp)
		memset(area, 1, len);
	else
		reader.page = page;
	uffd_register(fd, area, len, wp ? UFFDIO_REGISTER_MODE_WP : UFFDIO_REGISTER_MODE_MISSING);
	if (two_cpus) {
		reader.cpu = 1;
		check(pin_to_cpu(0), "there is no CPU for the faulting thread");
	}
	reader_start(&reader);
	for (size_t i = 0; i < passes; i++) {
		if (wp || i)
			rearm(wp, fd, area, len);
		if (wp)
			pass_wp(area, pages, stamp);
		else
			pass_missing(area, pages, stamp, page[0]);
		timings_add(i ? &later : &first, stamp, pages);
	}
	reader_join(&reader);
	for (size_t i = 0; wp && i < pages; i++)
		check(area[i * PAGE] == (uint8_t)(1 + passes), "a write was lost");

	snprintf(name, sizeof(name), "%s-%s", argv[1], wait_names[wait]);
	snprintf(name_first, sizeof(name_first), "%s-first", name);
	timings_emit(&first, name_first);
	if (later.step.count)
		timings_emit(&later, name);
	free(stamp);
	close(fd);
	return 0;
}
