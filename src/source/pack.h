/*
 * pack.h - userfault pack: images from one source to another.
 *
 *   pack.c         the command line
 *   pack_copy.c    from a source to a writer, and comparing two sources
 *   pack_read.c    a source read in any order, several requests at a time
 *   pack_report.c  what it says: progress, summaries, --info, --check
 */
#ifndef UF_SOURCE_PACK_H
#define UF_SOURCE_PACK_H

#include <signal.h>

#include "packed.h"
#include "pager/order.h"

#define PACK_OPTIONS 32

struct pack_options {
	const char *source, *target;
	const char *order, *kind;
	bool verify, json, quiet, info, check;
	unsigned threads;
	const char *option[PACK_OPTIONS + 1]; /* NULL-terminated, for sources */
	char level[32], chunk[32];	      /* as options */
};

struct pack_counts {
	uint64_t size, done; /* bytes of the source */
	uint64_t pages, zero, ordered;
	double seconds;
};

/* SIGINT, SIGTERM or SIGHUP that was received, or 0. */
extern volatile sig_atomic_t pack_signal;

/* ---- pack_read.c
 */

/* Which pages in which order: those of the runs first, each page once. */
struct pack_plan {
	const struct order *order; /* or NULL */
	uint64_t *seen;		   /* a bit for each page; NULL without an order */
	size_t run;
	uint64_t at, end; /* of the run */
	uint64_t size;	  /* of the source, whole pages */
	uint64_t ordered; /* pages that came from the order */
};
int pack_plan_new(struct pack_plan *p, uint64_t size, const struct order *order);
void pack_plan_free(struct pack_plan *p);
/* The next stretch, not across a multiple of `piece`; false: that was all. */
bool pack_plan_next(struct pack_plan *p, uint64_t piece, uint64_t *offset, uint64_t *len);

struct pack_reader;
int pack_reader_new(struct source *s, struct pack_plan *plan, uint64_t piece,
		    struct pack_reader **out);
void pack_reader_free(struct pack_reader *r);
/*
 * The next stretch of the plan: 1, 0 at the end, or an error, with `offset` the place. *buf NULL:
 * it is zero. What it points to stays until the next call.
 */
int pack_reader_next(struct pack_reader *r, uint64_t *offset, uint64_t *len, const void **buf);

/* ---- pack_copy.c
 */

/* 0 or an error, with a sentence in why. -EINTR: a signal came. */
int pack_copy(struct source *s, struct source_writer *w, const struct order *order,
	      struct pack_counts *counts, bool quiet, char *why, size_t why_size);
/* Do both say the same? -EBADMSG and where not. */
int pack_compare(struct source *a, struct source *b, bool quiet, char *why, size_t why_size);

/* ---- pack_report.c
 */

/* A line on a terminal that changes; none elsewhere. `done` of `all` bytes. */
void pack_progress(const char *what, uint64_t done, uint64_t all, bool quiet);
/* Takes it away. */
void pack_progress_end(void);
double pack_now(void);
/* header NULL: it was not packed. stored: bytes of the target, or 0: not known. */
void pack_summary(const struct pack_options *o, const char *kind, const struct pack_counts *counts,
		  const struct packed_header *header, uint64_t stored);
/* The exit status. */
int pack_info_main(const struct pack_options *o);
int pack_check_main(const struct pack_options *o);

#endif
