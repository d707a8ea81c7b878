/*
 * eyes.h - userfault trace: a recorded trace (trace/trace.h), read and told in four ways.
 *
 *   reader.c    the file: checked, and read in blocks; never mapped, since it may be cut meanwhile
 *   table.c     hash tables with a limit
 *   survey.c    first pass: when, who, which code, which memory
 *   pages.c     what state each page is in, as the records come by
 *   heat.c      addresses over time
 *   figures.c   second pass: everything that is counted
 *   waits.c     third pass: where the time of the longest waits went
 *   symbols.c   call sites to functions and lines
 *   notes.c     what stands out, in sentences
 *   summary.c   told on a terminal
 *   json.c      as JSON
 *   perfetto.c  as Chrome trace events
 *   html.c      as a page
 *
 * Whoever wrote the trace may have been killed, or be hostile: nothing in a record is taken for an
 * index, and every table has a limit. What falls off a limit is counted and said.
 */
#ifndef UF_EYES_EYES_H
#define UF_EYES_EYES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "trace/trace.h"

/* ---- reader.c
 */

struct reader {
	int fd;
	const char *name;
	struct trace_header header;
	char program[sizeof(((struct trace_header *)0)->program)]; /* fit to be printed */
	uint64_t count;						   /* records in the file */
	uint64_t lost;						   /* that there was no room for */
	bool cut;      /* the file is shorter than it says */
	uint64_t next; /* to be read */
	struct trace_record *block;
	uint64_t block_at, block_n;
};

/* False: `why` is a sentence without the full stop. */
bool reader_open(struct reader *r, const char *name, char *why, size_t why_size);
void reader_close(struct reader *r);
void reader_rewind(struct reader *r);
/* NULL: that was the last one. */
const struct trace_record *reader_next(struct reader *r);

static inline unsigned record_kind(const struct trace_record *r)
{
	return atomic_load_explicit(&r->kind, memory_order_relaxed);
}

/* Text of somebody else's: valid UTF-8 without control characters, at most size - 1 bytes. */
void clean_text(char *to, size_t size, const char *from, size_t len);

/* ---- table.c
 */

struct table {
	size_t item_size;
	uint32_t limit;
	uint32_t n, room;
	struct table_key {
		uint64_t a, b;
	} * key;
	char *item;
	uint32_t *slot; /* index + 1 */
	uint32_t nslots;
	bool full; /* something found no room */
};

void table_init(struct table *t, size_t item_size, uint32_t limit);
void table_free(struct table *t);
/* The item of that key, zeroed if it is new; NULL: no room. It moves when others are added. */
void *table_at(struct table *t, uint64_t a, uint64_t b);
void *table_find(const struct table *t, uint64_t a, uint64_t b);

static inline void *table_item(const struct table *t, uint32_t i)
{
	return t->item + i * t->item_size;
}

/* ---- latencies: buckets of 2^-bits of an octave, values below 2^bits exact
 */

#define FINE_BITS   7
#define FINE	    3328
#define MEDIUM_BITS 3
#define MEDIUM	    240
#define COARSE_BITS 2
#define COARSE	    124

static inline unsigned bucket_of(uint32_t ns, unsigned bits)
{
	unsigned top;

	if (ns < 1u << bits)
		return ns;
	top = 31 - (unsigned)__builtin_clz(ns);
	return ((top - bits + 1) << bits) + ((ns >> (top - bits)) & ((1u << bits) - 1));
}

static inline uint64_t bucket_low(unsigned bucket, unsigned bits)
{
	unsigned octave = bucket >> bits;

	if (octave == 0)
		return bucket;
	return ((1ull << bits) + (bucket & ((1u << bits) - 1))) << (octave - 1);
}

struct latency {
	uint64_t count, sum;
	uint32_t max;
	uint64_t bucket[FINE];
};

struct latency_coarse {
	uint64_t count, sum;
	uint32_t max;
	uint32_t bucket[COARSE];
};

void latency_add(struct latency *l, uint32_t ns);
uint64_t latency_quantile(const struct latency *l, double q);
void coarse_add(struct latency_coarse *l, uint32_t ns);
uint64_t coarse_quantile(const struct latency_coarse *l, double q);
uint64_t buckets_quantile(const uint32_t *bucket, unsigned n, unsigned bits, uint32_t max,
			  double q);

/* ---- survey.c
 */

#define WHYS	(TRACE_BACK + 1)
#define HANDLED 4u /* the first of enum trace_why: somebody was asked */

extern const char *const why_names[WHYS]; /* for people */
extern const char *const why_keys[WHYS];  /* for JSON */
extern const char *const fill_names[5];

/* Disjoint and sorted. */
struct span {
	uint64_t from, to;
	uint32_t modes;
};
#define SPANS 4096u
struct spans {
	struct span *span;
	uint32_t n, room;
	bool full;
};

/* How many bytes are new. */
uint64_t spans_add(struct spans *s, uint64_t from, uint64_t to, uint32_t modes);
/* How many bytes are gone. */
uint64_t spans_remove(struct spans *s, uint64_t from, uint64_t to);
const struct span *spans_find(const struct spans *s, uint64_t addr);
void spans_free(struct spans *s);

struct process {
	uint32_t number;
	char name[73];	     /* 24 bytes, each at most three when cleaned */
	uint64_t weight;     /* faults and fills */
	struct spans ranges; /* ever registered */
};

struct thread {
	uint32_t process, tid;
	char name[73];
	struct latency_coarse waits;
	uint64_t by_why[WHYS];
	uint64_t messages, fills;
};

struct module {
	uint32_t process, number;
	uint64_t addr, size, offset;
	char path[512];
};

struct source_figures {
	uint32_t number;
	struct latency_coarse latency;
	uint64_t demand, ahead, failed; /* fetches */
	uint64_t demand_bytes, ahead_bytes;
};

struct survey {
	struct reader *reader;
	uint64_t begin, end;	/* of what happened; CLOCK_MONOTONIC */
	uint64_t page;		/* size */
	struct table processes; /* struct process */
	struct table threads;	/* struct thread */
	struct table modules;	/* struct module */
	struct table touched;	/* (process, 2 MiB block): uint32_t, how often */
	uint64_t kinds[TRACE_KINDS], unfinished, unknown, misdated;
};

bool survey_make(struct survey *s, struct reader *r);
void survey_free(struct survey *s);
/* "cache-server", "guest 3" or "4711". */
const char *process_name(const struct survey *s, uint32_t number, char *buffer, size_t size);
const char *thread_name(const struct survey *s, uint32_t process, uint32_t tid, char *buffer,
			size_t size);
/* Those that have a number. */
uint32_t known_threads(const struct survey *s);
/* When it happened, in ns from the beginning; what lies outside is brought inside. */
uint64_t survey_when(const struct survey *s, uint64_t time);

/* ---- pages.c
 */

enum page_is {
	PAGE_IS_MISSING, /* or was never touched */
	PAGE_IS_PRESENT,
	PAGE_IS_REMOVED,
	PAGE_IS_EVICTED,
	PAGE_IS_POISONED,
	PAGE_IS_MAX
};
extern const char *const page_is_keys[PAGE_IS_MAX];

#define CHUNK_PAGES 64u
struct page_chunk {
	uint32_t faults[CHUNK_PAGES];
	uint8_t is[CHUNK_PAGES];
};

struct page_counts {
	uint64_t registered;	  /* bytes */
	uint64_t is[PAGE_IS_MAX]; /* pages; MISSING is computed by page_count */
	struct spans ranges;	  /* registered now */
};

struct pages {
	uint64_t size;		/* of a page */
	struct table chunks;	/* (process, address / size / CHUNK_PAGES): struct page_chunk */
	struct table counts;	/* (process, 0): struct page_counts */
	struct page_counts all; /* ranges unused */
	uint64_t steps;		/* work done on ranges */
	bool gave_up;		/* too much of it, or too many pages: states are not complete */
};

void pages_init(struct pages *p, uint64_t page_size);
void pages_free(struct pages *p);
void pages_apply(struct pages *p, const struct trace_record *r);
uint64_t page_count(const struct pages *p, const struct page_counts *c, enum page_is is);

/* ---- heat.c
 */

#define BINS	   240u /* of time */
#define HEAT_ROWS  160u
#define HEAT_MAPS  8u
#define HEAT_BANDS 24u

enum heat_layer {
	HEAT_MISSING, /* as enum trace_why */
	HEAT_WP,
	HEAT_MINOR,
	HEAT_RWP,
	HEAT_QUICK, /* faults that nobody was asked for */
	HEAT_FILLED,
	HEAT_AHEAD,
	HEAT_REMOVED,
	HEAT_EVICTED,
	HEAT_LAYERS
};
extern const char *const heat_keys[HEAT_LAYERS];

struct heat_band {
	uint64_t from, to;
	uint32_t row, rows;
	uint64_t touched;
	bool registered;
};

struct heat_map {
	uint32_t process;
	uint32_t nbands, rows;
	struct heat_band band[HEAT_BANDS];
	uint64_t elsewhere;		/* what lies in no band */
	uint32_t (*cell)[BINS];		/* [layer * rows + row] */
	uint64_t is[PAGE_IS_MAX][BINS]; /* states over time */
};

struct heat {
	struct heat_map map[HEAT_MAPS];
	uint32_t n;
	uint32_t processes; /* that have any weight */
};

bool heat_init(struct heat *h, const struct survey *s);
void heat_free(struct heat *h);
void heat_add(struct heat *h, const struct survey *s, const struct trace_record *r, unsigned bin);
struct heat_map *heat_of(struct heat *h, uint32_t process);

/* ---- figures.c
 */

struct site {
	uint32_t process;
	uint64_t ip;
	struct latency_coarse waits; /* of those that somebody was asked for */
	uint64_t by_why[WHYS];
};

#define WAITS 50u
struct wait {
	struct trace_record fault;
	/* waits.c: from its beginning on, in ns; 0: not known */
	uint64_t read, fill, filled;
};

struct hot_page {
	uint32_t process;
	uint64_t addr;
	uint64_t faults;
};
#define HOT_PAGES 20u

struct range_figures {
	uint32_t process;
	struct span span;
	uint64_t by_why[WHYS];
	uint64_t filled, removed, evicted; /* pages */
	uint64_t pages, touched;	   /* pages with faults */
};
#define RANGES 4096u

struct bin {
	uint64_t by_why[WHYS];
	uint64_t demand_pages, ahead_pages, removed, evicted;
	uint64_t demand_bytes, ahead_bytes; /* fetched */
	uint32_t max;
	uint32_t latency[MEDIUM];
	uint64_t is[PAGE_IS_MAX];
};

struct figures {
	struct survey *survey;
	uint64_t span; /* ns */
	uint64_t bin_ns;
	uint64_t faults, handled, by_why[WHYS];
	uint64_t writes, in_kernel, signalled, retried;
	struct latency all; /* those that somebody was asked for */
	struct latency kind[WHYS];
	struct latency message, fill, fetch; /* unread; one fill of demand; one fetch */
	uint64_t fills[5], filled_pages[5], ahead_pages, demand_pages, filled_bytes, failed_fills;
	uint64_t wakes, protects, lifts, removed_pages, evicted_pages, removes, evicts;
	uint64_t fetches, fetch_failed, fetched_bytes, fetched_ahead;
	struct table sites;   /* struct site */
	struct table sources; /* struct source_figures */
	struct table ranges;  /* struct range_figures by (process, from) */
	struct wait wait[WAITS];
	uint32_t nwaits;
	struct hot_page hot[HOT_PAGES];
	uint32_t nhot;
	uint64_t distinct_pages;
	struct bin *bin; /* [BINS] */
	struct pages pages;
	struct heat heat;
	struct place *place; /* call sites, put together; by count */
	uint32_t nplaces;
	uint64_t sites_left_out; /* faults of sites that were not looked up */
	char note[8][256];
	uint32_t nnotes;
};

bool figures_make(struct figures *f, struct survey *s);
void figures_free(struct figures *f);
void waits_explain(struct figures *f);
void notes_make(struct figures *f);
/* By how much their faults weigh: indices. */
uint32_t *threads_by_wait(const struct figures *f);
uint32_t *processes_by_weight(const struct survey *s);

/* ---- symbols.c
 */

struct place {
	char function[160]; /* "" if not known */
	char file[256];	    /* "" if not known */
	int line;
	char module[512]; /* "" if not known */
	uint64_t offset;  /* in the module, or the address if there is none */
	uint64_t by_why[WHYS], faults;
	struct latency_coarse waits;
};

bool places_make(struct figures *f);
/* "lookup (cache.c:120)", "libc.so.6+0x1234", "0x7f00". */
const char *place_name(const struct place *p, char *buffer, size_t size);

/* ---- how it is told
 */

const char *tell_ns(uint64_t ns, char *buffer, size_t size);
const char *tell_count(uint64_t n, char *buffer, size_t size);
const char *tell_bytes(uint64_t n, char *buffer, size_t size);

struct json_object;
struct json_object *figures_json(const struct figures *f);
void summary_print(const struct figures *f, FILE *out);
/* 0 or a negative errno of writing. */
int perfetto_write(struct survey *s, FILE *out);
int html_write(const struct figures *f, FILE *out);

#endif
