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

/* What a program measures on. */
struct memory_kind {
	const char *name;
	size_t page;
	bool shared;	     /* the pages are the file's, not this mapping's */
	bool file;	     /* of a memory file; else of no file */
	uint64_t minor_mode; /* the feature for minor faults on it; 0: it has none */
	uint64_t wp_mode;    /* the features for write-protection of it */
};

/* Ends the program when there is no such kind. */
const struct memory_kind *memory_kind(const char *program, const char *name);

struct memory {
	const struct memory_kind *kind;
	uint8_t *area;
	uint8_t *alias; /* shared kinds: the same pages once more, never registered */
	size_t len;
	int fd;
};

/* Empty memory; of pages of the kind's size and no other. */
void memory_map(struct memory *m, const struct memory_kind *kind, size_t len);
void memory_unmap(struct memory *m);
/* From now on there are no pages in the first len bytes. */
void memory_empty(const struct memory *m, size_t len);
/* The same, except that a shared kind keeps its pages, which are only not mapped in area. */
void memory_forget(const struct memory *m, size_t len);

/* Contents that compress about as well as a program's memory does, different for each page. */
void fill_page(uint8_t *page, uint64_t number);

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
void uffd_continue(int fd, void *start, size_t len);
void uffd_writeprotect(int fd, void *start, size_t len, uint64_t mode);

/* From now on a SIGBUS in a range registered with fd fills the page with UFFDIO_COPY from page. */
void fill_on_sigbus(int fd, const void *page);

void send_descriptor(int to, int fd);
int receive_descriptor(int from);

enum reader_wait {
	WAIT_READ,
	WAIT_POLL,
	WAIT_EPOLL
};

enum reader_answer {
	ANSWER_COPY,
	ANSWER_CONTINUE,
	ANSWER_UNPROTECT
};

/* A thread that resolves the faults of one other thread, as long as that one makes any. */
struct reader {
	int fd;
	enum reader_wait wait;
	enum reader_answer answer;
	const void *page; /* what is copied */
	size_t page_size;
	int cpu; /* which of the CPUs to run on, or -1 */
	atomic_bool last;
	pthread_t thread;
};

void reader_start(struct reader *r);
/* The same in the calling thread: until `last`. */
void reader_serve(struct reader *r);
/* Ends the reader with one last fault, a write to page, which must be missing or protected. */
void reader_finish(struct reader *r, volatile uint8_t *page);

#endif
