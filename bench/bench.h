/* SPDX-License-Identifier: MIT */
/*
 * What the benchmark programs share: time, statistics, output, and userfaultfd calls that end the
 * program when they fail.
 *
 * Every program is plain C over libc. It prints lines of the form "name value unit", exits 0 when
 * it ran to the end, 77 when userfaultfd is refused to it, and 1 with a sentence on stderr when
 * anything else went wrong.
 */
#ifndef BENCH_H
#define BENCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "uffd_abi.h"

#define PAGE	  4096UL
#define MIB	  (1UL << 20)
#define EXIT_SKIP 77

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);
void check(bool ok, const char *what);

void emit(const char *name, double value, const char *unit);
size_t number_argument(int argc, char **argv, int index, size_t otherwise);

void *map_anon(size_t len);
/* As map_anon(), but in base pages only: what is measured per page must be done per page. */
void *map_small_pages(size_t len);

/* Binds the calling thread to the nth CPU this program may use; false when there are fewer. */
bool pin_to_cpu(int nth);

/*
 * Makes sure the machine has len bytes of memory behind its free pages: a virtual machine's host
 * may supply them at first use only, at a cost that belongs to none of the figures.
 */
void warm_up_memory(size_t len);

/* Samples of one figure. */
struct samples {
	double *value;
	size_t count;
	size_t room;
};

void samples_add(struct samples *s, double value);
double samples_quantile(struct samples *s, double q);
double samples_median(struct samples *s);
void samples_free(struct samples *s);

/*
 * Time per step of a loop that took a stamp before its first step and after each one. The typical
 * cost is the median over the means of batches, so that one clock read does not weigh on it; the
 * tail is taken over single steps.
 */
struct timings {
	struct samples batch;
	struct samples step;
};

void timings_add(struct timings *t, const uint64_t *stamp, size_t steps);
void timings_emit(struct timings *t, const char *name);

/* A reproducible shuffle of 0 .. count-1. */
uint32_t *random_order(size_t count, uint64_t seed);

int uffd_open(int flags, uint64_t features);
void uffd_register(int fd, void *start, size_t len, uint64_t mode);
void uffd_unregister(int fd, void *start, size_t len);
void uffd_copy(int fd, void *dst, const void *src, size_t len);
void uffd_writeprotect(int fd, void *start, size_t len, uint64_t mode);

/* From now on a SIGBUS in a range registered with fd fills the page with UFFDIO_COPY from page. */
void fill_on_sigbus(int fd, const void *page);

enum reader_wait {
	WAIT_READ,
	WAIT_POLL,
	WAIT_EPOLL
};

/*
 * A thread that resolves the faults of one other thread, as long as that one makes any: with a copy
 * of page, or by lifting the protection when page is NULL.
 */
struct reader {
	int fd;
	enum reader_wait wait;
	const void *page;
	int cpu; /* which of the CPUs to run on, or -1 */
	atomic_bool last;
	pthread_t thread;
};

void reader_start(struct reader *r);
/* Ends the reader with one last fault, a write to page, which must be missing or protected. */
void reader_finish(struct reader *r, volatile uint8_t *page);

#endif
