/* SPDX-License-Identifier: MIT */
/*
 * What one fault costs when another thread resolves it.
 *
 *     fault missing|wp|minor[:MEMORY] read|poll|epoll [PAGES [MILLISECONDS [two]]]
 *
 * MEMORY is anon (the default), shmem, shmem-private, hugetlb or hugetlb-shared.
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

struct range {
	enum reader_answer answer;
	int fd;
	struct memory memory;
	size_t pages;
};

/* "missing" and the like, with the memory behind a colon. */
static void parse_kind(char *name, struct range *r, const struct memory_kind **kind)
{
	static const char *const names[] = {
		[ANSWER_COPY] = "missing",
		[ANSWER_CONTINUE] = "minor",
		[ANSWER_UNPROTECT] = "wp",
	};
	char *colon = strchr(name, ':');

	if (colon)
		*colon = 0;
	*kind = memory_kind("fault", colon ? colon + 1 : "anon");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(names[i], name)) {
			r->answer = (enum reader_answer)i;
			return;
		}
	}
	fprintf(stderr, "fault: no kind of fault is called '%s'\n", name);
	exit(2);
}

static void pass_read(const struct range *r, uint64_t *stamp)
{
	volatile uint8_t *at = r->memory.area;
	unsigned long sum = 0;

	stamp[0] = now_ns();
	for (size_t i = 0; i < r->pages; i++, at += r->memory.kind->page) {
		sum += *at;
		stamp[i + 1] = now_ns();
	}
	check(sum == r->pages * CONTENTS, "a page did not hold what was put into it");
}

static void pass_write(const struct range *r, uint64_t *stamp)
{
	volatile uint8_t *at = r->memory.area;

	stamp[0] = now_ns();
	for (size_t i = 0; i < r->pages; i++, at += r->memory.kind->page) {
		++*at;
		stamp[i + 1] = now_ns();
	}
}

/* Makes the next touch of each page fault. */
static void rearm(const struct range *r, size_t pages)
{
	size_t len = pages * r->memory.kind->page;

	switch (r->answer) {
	case ANSWER_COPY:
		memory_empty(&r->memory, len);
		break;
	case ANSWER_CONTINUE:
		memory_forget(&r->memory, len);
		break;
	case ANSWER_UNPROTECT:
		uffd_writeprotect(r->fd, r->memory.area, len, UFFDIO_WRITEPROTECT_MODE_WP);
		break;
	}
}

/* Passes over the range for so long, and twice at least. */
static void run_passes(const struct range *r, uint64_t duration, struct timings *first,
		       struct timings *later)
{
	uint64_t *stamp = calloc(r->pages + 1, sizeof(*stamp));
	bool writing = r->answer == ANSWER_UNPROTECT;
	uint64_t begin = now_ns();
	size_t passes;

	if (!stamp)
		die("stamps");
	for (passes = 0; passes < 2 || now_ns() - begin < duration; passes++) {
		if (writing || passes)
			rearm(r, r->pages);
		if (writing)
			pass_write(r, stamp);
		else
			pass_read(r, stamp);
		timings_add(passes ? later : first, stamp, r->pages);
	}
	for (size_t i = 0; writing && i < r->pages; i++)
		check(r->memory.area[i * r->memory.kind->page] == (uint8_t)(CONTENTS + passes),
		      "a write was lost");
	free(stamp);
}

static void emit_both(const char *what, struct timings *first, struct timings *later)
{
	char name[80];

	snprintf(name, sizeof(name), "%s-first", what);
	timings_emit(first, name);
	timings_emit(later, what);
}

/* Maps the range, opens the descriptor and registers the one with the other. */
static void set_up(struct range *r, const struct memory_kind *kind, enum reader_wait wait)
{
	size_t len = r->pages * kind->page;
	uint64_t features = 0, mode = UFFDIO_REGISTER_MODE_MISSING;

	memory_map(&r->memory, kind, len);
	if (r->answer == ANSWER_CONTINUE) {
		check(kind->minor_mode, "that memory has no minor faults");
		features = kind->minor_mode;
		mode = UFFDIO_REGISTER_MODE_MINOR;
		memset(r->memory.alias, CONTENTS, len);
	} else if (r->answer == ANSWER_UNPROTECT) {
		features = kind->wp_mode;
		mode = UFFDIO_REGISTER_MODE_WP;
		memset(r->memory.area, CONTENTS, len);
	}
	r->fd = uffd_open(wait == WAIT_READ ? 0 : O_NONBLOCK, features);
	uffd_register(r->fd, r->memory.area, len, mode);
}

int main(int argc, char **argv)
{
	bool two_cpus = argc > 5;

	if (argc < 3 || (two_cpus && strcmp(argv[5], "two"))) {
		fprintf(stderr, "usage: fault missing|wp|minor[:MEMORY] read|poll|epoll [PAGES "
				"[MILLISECONDS [two]]]\n");
		return 2;
	}

	enum reader_wait wait = parse_wait(argv[2]);
	uint64_t duration = number_argument(argc, argv, 4, 1500) * 1000000;
	struct range r = {.pages = number_argument(argc, argv, 3, 4096)};
	struct timings first = {0}, later = {0};
	const struct memory_kind *kind;
	char what[64];
	void *page;

	parse_kind(argv[1], &r, &kind);
	if (strcmp(kind->name, "anon"))
		snprintf(what, sizeof(what), "%s-%s-%s", argv[1], kind->name, argv[2]);
	else
		snprintf(what, sizeof(what), "%s-%s", argv[1], argv[2]);
	set_up(&r, kind, wait);
	page = map_anon(kind->page);
	memset(page, CONTENTS, kind->page);

	struct reader reader = {.fd = r.fd,
				.wait = wait,
				.answer = r.answer,
				.page = page,
				.page_size = kind->page,
				.cpu = two_cpus ? 1 : -1};

	if (two_cpus)
		check(pin_to_cpu(0), "there is no CPU for the faulting thread");
	reader_start(&reader);
	run_passes(&r, duration, &first, &later);
	rearm(&r, 1);
	reader_finish(&reader, r.memory.area);
	emit_both(what, &first, &later);
	close(r.fd);
	return 0;
}
