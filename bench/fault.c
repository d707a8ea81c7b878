/* SPDX-License-Identifier: MIT */
/*
 * What one fault costs when another thread resolves it.
 *
 *     fault missing|wp read|poll|epoll [PAGES [MILLISECONDS [two]]]
 *
 * Passes over the range go on for so long: the scheduler takes a while to settle where the threads
 * run, and the cost of a wake-up hangs on it. With "two", each thread has a CPU of its own instead.
 * The first pass is told apart from the later ones: there the memory that pages are made of is new.
 */
#include "bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CONTENTS 0x5a

static const char *const wait_names[] = {"read", "poll", "epoll"};

static enum reader_wait parse_wait(const char *name)
{
	for (size_t i = 0; i < sizeof(wait_names) / sizeof(wait_names[0]); i++)
		if (!strcmp(name, wait_names[i]))
			return (enum reader_wait)i;
	fprintf(stderr, "fault: no way to wait is called '%s'\n", name);
	exit(2);
}

static void pass_missing(volatile uint8_t *area, size_t pages, uint64_t *stamp)
{
	unsigned long sum = 0;

	stamp[0] = now_ns();
	for (size_t i = 0; i < pages; i++) {
		sum += area[i * PAGE];
		stamp[i + 1] = now_ns();
	}
	check(sum == pages * CONTENTS, "a page did not hold what was copied into it");
}

static void pass_wp(volatile uint8_t *area, size_t pages, uint64_t *stamp)
{
	stamp[0] = now_ns();
	for (size_t i = 0; i < pages; i++) {
		area[i * PAGE]++;
		stamp[i + 1] = now_ns();
	}
}

struct range {
	bool wp;
	int fd;
	uint8_t *area;
	size_t pages;
};

static void rearm(const struct range *r, size_t pages)
{
	if (r->wp)
		uffd_writeprotect(r->fd, r->area, pages * PAGE, UFFDIO_WRITEPROTECT_MODE_WP);
	else if (madvise(r->area, pages * PAGE, MADV_DONTNEED))
		die("MADV_DONTNEED");
}

/* Passes over the range for so long, and twice at least. */
static void run_passes(const struct range *r, uint64_t duration, struct timings *first,
		       struct timings *later)
{
	uint64_t *stamp = calloc(r->pages + 1, sizeof(*stamp));
	uint64_t begin = now_ns();
	size_t passes;

	if (!stamp)
		die("stamps");
	for (passes = 0; passes < 2 || now_ns() - begin < duration; passes++) {
		if (r->wp || passes)
			rearm(r, r->pages);
		if (r->wp)
			pass_wp(r->area, r->pages, stamp);
		else
			pass_missing(r->area, r->pages, stamp);
		timings_add(passes ? later : first, stamp, r->pages);
	}
	for (size_t i = 0; r->wp && i < r->pages; i++)
		check(r->area[i * PAGE] == (uint8_t)(CONTENTS + passes), "a write was lost");
	free(stamp);
}

static void emit_both(const char *kind, const char *wait, struct timings *first,
		      struct timings *later)
{
	char name[64];

	snprintf(name, sizeof(name), "%s-%s-first", kind, wait);
	timings_emit(first, name);
	snprintf(name, sizeof(name), "%s-%s", kind, wait);
	timings_emit(later, name);
}

int main(int argc, char **argv)
{
	bool two_cpus = argc > 5;

	if (argc < 3 || (strcmp(argv[1], "missing") && strcmp(argv[1], "wp")) ||
	    (two_cpus && strcmp(argv[5], "two"))) {
		fprintf(stderr,
			"usage: fault missing|wp read|poll|epoll [PAGES [MILLISECONDS [two]]]\n");
		return 2;
	}

	enum reader_wait wait = parse_wait(argv[2]);
	struct range r = {
		.wp = !strcmp(argv[1], "wp"),
		.fd = uffd_open(wait == WAIT_READ ? 0 : O_NONBLOCK, 0),
		.pages = number_argument(argc, argv, 3, 4096),
	};
	uint64_t duration = number_argument(argc, argv, 4, 1500) * 1000000;
	struct reader reader = {.fd = r.fd, .wait = wait, .cpu = two_cpus ? 1 : -1};
	struct timings first = {0}, later = {0};
	uint8_t *page = map_anon(PAGE);

	r.area = map_small_pages(r.pages * PAGE);
	memset(page, CONTENTS, PAGE);
	if (r.wp)
		memset(r.area, CONTENTS, r.pages * PAGE);
	else
		reader.page = page;
	uffd_register(r.fd, r.area, r.pages * PAGE,
		      r.wp ? UFFDIO_REGISTER_MODE_WP : UFFDIO_REGISTER_MODE_MISSING);
	if (two_cpus)
		check(pin_to_cpu(0), "there is no CPU for the faulting thread");
	reader_start(&reader);
	run_passes(&r, duration, &first, &later);
	rearm(&r, 1);
	reader_finish(&reader, r.area);
	emit_both(argv[1], argv[2], &first, &later);
	close(r.fd);
	return 0;
}
