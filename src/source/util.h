/*
 * util.h - what the sources share: options, reasons, files that appear whole or not at all, threads
 * that do what may block.
 */
#ifndef UF_SOURCE_UTIL_H
#define UF_SOURCE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pager/source.h"

/* ---- util.c: also linked into the modules, which see nothing else of the pager
 */

/* Formats why; returns error, for `return source_why(...)`. */
int source_why(char *why, size_t why_size, int error, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* The value of option `name` as a size (with K, M, G) into *out, which stays if there is none. */
int source_size_option(const struct source_env *env, const char *name, uint64_t *out, char *why,
		       size_t why_size);
bool is_zero(const void *buf, size_t len);

static inline uint64_t page_round(uint64_t size)
{
	return (size + SOURCE_PAGE - 1) & ~(uint64_t)(SOURCE_PAGE - 1);
}

/* ---- util_file.c: a file under construction
 */

/*
 * Where the file system can, it has no name before it is whole, and nothing is left of it however
 * the process ends; else it has one of its own next to the target's. A block device is written in
 * place.
 */
struct new_file {
	int fd, dir;
	char path[512]; /* without symbolic links */
	const char *base;
	char temporary[300]; /* in dir, or "" */
	bool device;
};
int new_file_begin(struct new_file *f, const char *path, uint64_t size, char *why, size_t why_size);
/* Durable and under its name; or, on errors, gone. */
int new_file_commit(struct new_file *f);
void new_file_abandon(struct new_file *f);

int write_all(int fd, const void *buf, size_t len, uint64_t offset);
/* -ENODATA: the file ends before. */
int read_all(int fd, void *buf, size_t len, uint64_t offset);

/* ---- util_pool.c: threads for what may block
 */

/* Part of what is to be done. */
struct pool_job {
	struct pool_job *next;
	uint32_t state; /* the pool's */
	int error;	/* work's answer, or -ECANCELED */
};

struct pool;
/*
 * work runs on one of up to `threads` threads, which start when they are needed. `local`: memory of
 * the thread's own, local_size bytes, zero at first; end, or NULL, is called on it at last.
 */
struct pool_options {
	unsigned threads;
	size_t local_size;
	int (*work)(struct pool_job *job, void *local);
	void (*end)(void *local);
	size_t stack; /* of each thread; 0: enough for what the sources do */
};
int pool_new(const struct pool_options *options, struct pool **out);
/* Jobs that run are waited for, and those that were not taken are forgotten. */
void pool_free(struct pool *p);
/* Those that are `ahead` wait for those that are not. */
void pool_add(struct pool *p, struct pool_job *job, bool ahead);
/* A job that waits among those ahead is moved to the others. */
void pool_hurry(struct pool *p, struct pool_job *job);
/* Has it done with -ECANCELED if it was not begun. */
void pool_cancel(struct pool *p, struct pool_job *job);
/* Readable when pool_take has something. */
int pool_fd(struct pool *p);
/* Has it readable though nothing was done. */
void pool_wake(struct pool *p);
/* What has been done since, in a list of its own; NULL: nothing. */
struct pool_job *pool_take(struct pool *p);

#endif
