/* SPDX-License-Identifier: MIT */
/*
 * Filling a range in pieces of 2 MiB and touching every page of it once.
 *
 *     copy copy|continue MEMORY [MIB [ROUNDS]]
 *
 * By UFFDIO_COPY, or by UFFDIO_CONTINUE of pages that are there. "fresh" maps and registers a new
 * range each round; "again" makes one range empty again. The fill and the touch are also told
 * apart. MEMORY is anon, shmem or shmem-private.
 */
#include "bench.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIECE (2 * MIB)

struct cost {
	struct samples fill, touch, both;
};

struct work {
	int fd;
	bool minor;
	const struct memory_kind *kind;
	size_t len;
	size_t rounds;
	const uint8_t *piece;
	bool writing;
};

static void touch_read(volatile uint8_t *area, size_t len, const uint8_t *piece)
{
	unsigned long sum = 0;

	for (size_t at = 0; at < len; at += PAGE)
		sum += area[at];
	check(sum == len / PAGE * piece[0], "a page did not hold what was put into it");
}

static void touch_write(volatile uint8_t *area, size_t len)
{
	for (size_t at = 0; at < len; at += PAGE)
		area[at] = 1;
}

static void fill_and_touch(const struct work *w, const struct memory *m, struct cost *cost)
{
	double pages = (double)(w->len / PAGE);
	uint64_t start = now_ns(), filled, touched;

	for (size_t at = 0; at < w->len; at += PIECE) {
		if (w->minor)
			uffd_continue(w->fd, m->area + at, PIECE);
		else
			uffd_copy(w->fd, m->area + at, w->piece, PIECE);
	}
	filled = now_ns();
	if (w->writing)
		touch_write(m->area, w->len);
	else
		touch_read(m->area, w->len, w->piece);
	touched = now_ns();
	samples_add(&cost->fill, (double)(filled - start) / pages);
	samples_add(&cost->touch, (double)(touched - filled) / pages);
	samples_add(&cost->both, (double)(touched - start) / pages);
}

static void free_cost(struct cost *cost)
{
	samples_free(&cost->both);
	samples_free(&cost->fill);
	samples_free(&cost->touch);
}

static void emit_cost(const struct work *w, const char *when, struct cost *cost)
{
	char name[64];
	int n = snprintf(name, sizeof(name), "%s-%s-%s", w->minor ? "continue" : "copy", when,
			 w->writing ? "write" : "read");

	emit(name, samples_median(&cost->both), "ns");
	strcpy(name + n, "-fill");
	emit(name, samples_median(&cost->fill), "ns");
	strcpy(name + n, "-touch");
	emit(name, samples_median(&cost->touch), "ns");
	free_cost(cost);
}

static void set_up(const struct work *w, struct memory *m)
{
	memory_map(m, w->kind, w->len);
	if (w->minor)
		memset(m->alias, w->piece[0], w->len);
	uffd_register(w->fd, m->area, w->len,
		      w->minor ? UFFDIO_REGISTER_MODE_MINOR : UFFDIO_REGISTER_MODE_MISSING);
}

static void tear_down(const struct work *w, struct memory *m)
{
	uffd_unregister(w->fd, m->area, w->len);
	memory_unmap(m);
}

static void run_fresh(const struct work *w)
{
	struct cost cost = {0};

	for (size_t i = 0; i < w->rounds; i++) {
		struct memory m;

		set_up(w, &m);
		fill_and_touch(w, &m, &cost);
		tear_down(w, &m);
	}
	emit_cost(w, "fresh", &cost);
}

static void run_again(const struct work *w)
{
	struct cost unused = {0}, cost = {0};
	struct memory m;

	set_up(w, &m);
	for (size_t i = 0; i <= w->rounds; i++) {
		fill_and_touch(w, &m, i ? &cost : &unused);
		if (w->minor)
			memory_forget(&m, w->len);
		else
			memory_empty(&m, w->len);
	}
	tear_down(w, &m);
	free_cost(&unused);
	emit_cost(w, "again", &cost);
}

int main(int argc, char **argv)
{
	if (argc < 3 || (strcmp(argv[1], "copy") && strcmp(argv[1], "continue"))) {
		fprintf(stderr, "usage: copy copy|continue MEMORY [MIB [ROUNDS]]\n");
		return 2;
	}

	struct work w = {
		.minor = !strcmp(argv[1], "continue"),
		.kind = memory_kind(argv[0], argv[2]),
		.len = number_argument(argc, argv, 3, 256) * MIB,
		.rounds = number_argument(argc, argv, 4, 3),
	};
	uint8_t *piece = map_small_pages(PIECE);

	check(w.len % PIECE == 0, "the range must be a multiple of 2 MiB");
	check(!w.minor || w.kind->minor_mode, "that memory has no minor faults");
	memset(piece, 0x5a, PIECE);
	w.piece = piece;
	w.fd = uffd_open(0, w.minor ? w.kind->minor_mode : 0);
	for (int writing = 0; writing <= 1; writing++) {
		w.writing = writing;
		run_fresh(&w);
		run_again(&w);
	}
	close(w.fd);
	return 0;
}
