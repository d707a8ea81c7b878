/*
 * top.h - userfault top: sessions and pagers, watched.
 *
 *   top_find.c    the files of pagers and guests (pager/shared.h), found in /proc and read
 *   top_look.c    one look: sessions (cmd/sessions.h) and pagers, as rows
 *   top_rates.c   what changed between two looks
 *   top_table.c   columns, sorting, what stands in a cell; the table of --once
 *   top_json.c    --once --json
 *   top_screen.c  the live view
 *   top_detail.c  and that of one row
 *
 * Whoever writes the files may be hostile, and may die at any moment: they are read, not mapped,
 * and nothing in them is taken for an index, a length, or text that can be printed.
 */
#ifndef UF_EYES_TOP_H
#define UF_EYES_TOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "pager/shared.h"

#define TOP_WAITERS 64u
#define NO_TIME	    UINT64_MAX

enum row_kind {
	ROW_GUEST,
	ROW_PROCESS, /* of a session */
};

struct top_waiter {
	uint64_t addr, age; /* ns */
	uint32_t thread;    /* 0: not known */
	bool event;	    /* for an event to be read, not for a page */
	char name[32];	    /* "" if not known */
};

/* Sums since it began. */
enum top_count {
	TOP_FAULTS,
	TOP_DEMAND, /* pages filled; of a process, all of them */
	TOP_NEAR,
	TOP_AHEAD,
	TOP_ZERO,
	TOP_REMOVED,
	TOP_EVICTED,
	TOP_FAILED,
	TOP_COUNTS
};

struct top_row {
	enum row_kind kind;
	uint64_t key[3]; /* what it is found again by */
	uint32_t group;	 /* index in look.group */
	char name[64];
	pid_t pid;	/* 0: not known */
	bool elsewhere; /* numbered by another pid namespace */
	char state[24];
	uint64_t count[TOP_COUNTS];
	uint64_t bucket[SHARED_BUCKETS], max_ns;     /* latencies */
	uint64_t registered;			     /* bytes */
	uint64_t resident;			     /* bytes; NO_TIME: not known */
	uint64_t in_flight, ahead_done, ahead_total; /* bytes */
	uint32_t waiting, nwaiters;
	struct top_waiter waiter[TOP_WAITERS];
	uint32_t nregions;
	struct guest_region *region; /* [nregions] */
	char source[512];
	uint64_t guest_count[GUEST_COUNT_MAX];
	uint64_t faults_by_kind[4]; /* of a process */
	char file[64];		    /* in /proc, of a guest: for its states */

	/* top_rates.c: between this look and the one before; zero if it was not there then */
	bool compared;
	double rate[TOP_COUNTS]; /* per second */
	uint64_t p50, p99;	 /* of the interval; NO_TIME: no faults */
	uint64_t recent[SHARED_BUCKETS];
	uint64_t oldest; /* waiter's age; NO_TIME: nobody waits */
};

struct top_source {
	char spec[512], kind[16];
	bool healthy;
	uint64_t size, fetches, bytes, errors, retries, in_flight, in_flight_bytes, hits;
	uint64_t bucket[SHARED_BUCKETS];
	double fetch_rate, byte_rate;
	uint64_t p50, p99;
};

enum group_kind {
	GROUP_PAGER,
	GROUP_SESSION,
};

struct top_group {
	enum group_kind kind;
	uint64_t key[2];
	char id[17], name[128];
	pid_t pid, keeper;
	uint32_t takeovers, rows;
	uint64_t began; /* seconds since 1970 */
	uint64_t accepted, refused, ended, cut_off;
	uint64_t cache_bytes, cache_limit, in_flight, in_flight_limit, bandwidth;
	uint32_t nsources;
	struct top_source source[PAGER_SOURCES];
};

struct look {
	uint64_t at;	/* CLOCK_MONOTONIC, ns */
	double seconds; /* since the one that it is compared with; 0: none */
	struct top_group *group;
	size_t ngroups;
	struct top_row *row;
	size_t nrows;
	size_t hidden; /* files of another version, or damaged */
};

struct top_options {
	double interval; /* seconds */
	const char *session;
	pid_t pid;
	bool once, json;
};

/* ---- top_find.c
 */

/* Adds all pagers and guests of this machine that this user can see. False: no memory, no /proc. */
bool find_pagers(struct look *l);
/* The states of a guest's pages, counted; false: they cannot be read. */
bool guest_states(const struct top_row *r, uint64_t states[PAGE_STATES]);
struct top_group *add_group(struct look *l);
struct top_row *add_row(struct look *l);
/* At most size - 1 bytes of from, up to its 0, fit for a terminal. */
void printable(char *to, size_t size, const char *from, size_t len);

/* ---- top_look.c
 */

/* False: no memory, or no /proc. */
bool look_around(struct look *l, const struct top_options *o);
void look_free(struct look *l);

/* ---- top_rates.c
 */

void look_compare(struct look *now, const struct look *before);
/* Of a histogram in quarters of octaves; NO_TIME if it is empty. */
uint64_t quarters_quantile(const uint64_t *bucket, double q);
uint64_t quarters_low(unsigned bucket);

/* ---- top_table.c
 */

enum top_column {
	COLUMN_NAME,
	COLUMN_PID,
	COLUMN_FAULTS,
	COLUMN_P50,
	COLUMN_P99,
	COLUMN_DEMAND,
	COLUMN_NEAR,
	COLUMN_AHEAD,
	COLUMN_WAITING,
	COLUMN_OLDEST,
	COLUMN_RESIDENT,
	COLUMN_SOURCE,
	COLUMNS
};
struct column {
	const char *title, *key; /* key: what sorts by it */
	int width;
	int rank; /* the lowest goes first when there is no room */
	bool left;
};
extern const struct column columns[COLUMNS];

/* Which columns fit; the name gets what is left. Returns its width. */
int choose_columns(int width, bool shown[COLUMNS]);
void cell_text(const struct look *l, const struct top_row *r, enum top_column c, char *to,
	       size_t size);
/* Rows whose name, group or pid has `filter` in it, sorted: indices. Returns how many. */
size_t order_rows(const struct look *l, enum top_column by, bool reverse, const char *filter,
		  uint32_t *order);
void print_table(const struct look *l, FILE *out);
const char *short_ns(uint64_t ns, char *buffer, size_t size);
const char *short_rate(double n, char *buffer, size_t size);
const char *short_bytes(uint64_t n, char *buffer, size_t size);
/* "nbd://...: healthy, 120 fetches/s, ..." */
void source_text(const struct top_source *s, char *to, size_t size);
void group_text(const struct look *l, const struct top_group *g, char *to, size_t size);
/* The rates of all rows together. */
void totals_text(const struct look *l, char *to, size_t size);

/* ---- top_json.c
 */

bool print_top_json(const struct look *l, FILE *out);

/* ---- top_screen.c, top_detail.c
 */

enum top_colour {
	COLOUR_PLAIN,
	COLOUR_HEAD,
	COLOUR_GOOD,
	COLOUR_BAD,
	COLOUR_BAR,
};

/* The exit status. */
int screen_run(const struct top_options *o);
/* Draws a row's details from line `from` of them on; returns how many lines there are. */
int detail_draw(const struct look *l, const struct top_row *r, int from, int top, int height,
		int width, bool blocks);
void screen_colour(enum top_colour c, bool on);

#endif
