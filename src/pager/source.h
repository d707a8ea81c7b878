/*
 * source.h - where the contents of pages come from: what a source is to the engine.
 *
 * A source is an array of bytes, read in chunks: a raw file, a packed image, an NBD server, Ceph
 * objects, another process. Each kind is one file in src/source with one table of operations, and
 * one line in src/source/list.c. What needs a library that not everybody has (NBD, Ceph) is built
 * as a module of its own, libdir/userfault/source-NAME.so, and loaded when it is named; a module
 * exports `const struct source_ops *const userfault_source` and the version it was built for.
 *
 * All functions run on the engine's thread and may not block, but for open, close and those of
 * struct source_writer, which may. Errors are negative errnos; what is worth another try is the
 * engine's to decide (source_error_lasts).
 */
#ifndef UF_PAGER_SOURCE_H
#define UF_PAGER_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOURCE_PAGE    4096u
#define SOURCE_VERSION 1u

struct source_ops;
struct source_request;

/* What every source begins with. */
struct source {
	const struct source_ops *ops;
	char spec[512];	 /* as it was named: shown in logs, `userfault top` and metrics */
	uint64_t size;	 /* in bytes; need not be a multiple of a page: zeros follow */
	uint32_t chunk;	 /* the size a fetch is best at; a power of two, 4 KiB to 2 MiB. Chunks
			  * begin at multiples of it */
	uint32_t depth;	 /* how many fetches it likes to have under way */
	bool costly;	 /* what was fetched is worth a place in the cache (it was decompressed, or
			  * came over a network) */
	void *waker_arg; /* the engine's */
};

/*
 * A fetch. The engine fills in the first part; the source writes [offset, offset + len) of its
 * contents to buf, bytes beyond its end as zeros, and then calls done, from process() only: never
 * from within fetch(), and never from another thread.
 */
struct source_request {
	uint64_t offset; /* multiple of SOURCE_PAGE */
	uint32_t len;	 /* multiple of SOURCE_PAGE; within one chunk */
	bool ahead;	 /* nobody waits for it: demand requests may overtake it */
	void *buf;	 /* aligned to SOURCE_PAGE */
	/* error 0: all is there. The request is the engine's again. */
	void (*done)(struct source_request *request, int error);

	uint64_t private[6]; /* the source's, from fetch to done */
};

enum source_contents {
	SOURCE_DATA,
	SOURCE_ZERO, /* known to be all zero: a hole, a page that was left out */
	SOURCE_SAME, /* pages that repeat others; fetched like data */
};

/* What open is told besides the name. */
struct source_env {
	const char *const *options; /* "name=value", NULL-terminated; of the command line */
	bool direct;		    /* files: past the page cache (O_DIRECT) */
	unsigned threads;	    /* that it may start for its work; 0: as it likes */
};

struct source_ops {
	const char *name; /* "raw", "packed", "nbd", "rados", "peer" */
	const char *const
		*schemes; /* "nbd:", "nbd+unix:"...; NULL-terminated. What has none is a file */
	/* Is the file `spec` one of this kind? Asked of those without schemes, in the list's order.
	 */
	bool (*probe)(const char *spec, int fd);

	/*
	 * Opens `spec` (with its scheme). May block. On error `why` is one sentence without the
	 * full stop that names the cause.
	 */
	int (*open)(const char *spec, const struct source_env *env, struct source **out, char *why,
		    size_t why_size);
	/* No request is under way. */
	void (*close)(struct source *s);

	/*
	 * What is known of [offset, offset + *len), both multiples of SOURCE_PAGE, within size
	 * rounded up: what its beginning is, and in *len how far that goes. It is quick, and may
	 * say DATA of what turns out zero. NULL: all is data.
	 */
	enum source_contents (*extent)(struct source *s, uint64_t offset, uint64_t *len);

	/*
	 * [offset, offset + len) if it is in memory already and stays readable until the next call
	 * into the source; else NULL, and it has to be fetched. NULL as an operation: never.
	 */
	const void *(*peek)(struct source *s, uint64_t offset, uint64_t len);

	/* Begin. 0, or -EAGAIN: there are `depth` under way, ask again after the next process(). */
	int (*fetch)(struct source *s, struct source_request *request);
	/*
	 * Its answer is not wanted any more. The source calls done as soon as buf is not written to
	 * any more, with -ECANCELED or what became of it; from process().
	 */
	void (*cancel)(struct source *s, struct source_request *request);
	/* A descriptor that is readable when process() has something to do. */
	int (*fd)(struct source *s);
	/* Calls done for what has been fetched. */
	void (*process)(struct source *s);
	/*
	 * The connection was lost, or broken in some other way that `fetch` reports as an error,
	 * and this is the attempt to have another. Begins; later fetches fail until it is there.
	 * NULL: there is nothing to repair.
	 */
	void (*repair)(struct source *s);

	/* Writing one, for `userfault pack` and snapshots: source_writer. NULL: cannot be written.
	 */
	const struct source_writer_ops *writer;
};

/* ---- writing one: `userfault pack`, snapshots
 */

struct source_writer {
	const struct source_writer_ops *ops;
};

struct source_writer_ops {
	/* A new image of `size` bytes, all zero so far. What stood there stays until commit where
	 * possible. */
	int (*create)(const char *spec, uint64_t size, const struct source_env *env,
		      struct source_writer **out, char *why, size_t why_size);
	/*
	 * Both multiples of SOURCE_PAGE but at the end of the image; each byte at most once, in any
	 * order of offsets. May block. `buf` is the caller's again when it returns.
	 */
	int (*write)(struct source_writer *w, uint64_t offset, const void *buf, uint64_t len);
	/* All is written and durable, and the image is there under its name; frees w. */
	int (*commit)(struct source_writer *w);
	/* Never mind: leaves nothing behind; frees w. */
	void (*abandon)(struct source_writer *w);
};

/* ---- src/source/list.c
 */

/* As ops->open, of whatever kind spec is. */
int source_open(const char *spec, const struct source_env *env, struct source **out, char *why,
		size_t why_size);
void source_close(struct source *s);
/* kind NULL: what spec's scheme says, else a packed image. */
int source_create(const char *spec, const char *kind, uint64_t size, const struct source_env *env,
		  struct source_writer **out, char *why, size_t why_size);
/* Will the same request most likely fail again (checksum, truncated), so that a retry is idle? */
bool source_error_lasts(int error);
/* The value of "name=" among options, or NULL. */
const char *source_option(const struct source_env *env, const char *name);

#endif
