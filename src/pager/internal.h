/*
 * internal.h - what the files of the engine know of each other. engine.h says who does what.
 */
#ifndef UF_PAGER_INTERNAL_H
#define UF_PAGER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

#include <userfault/abi.h>

#include "pager/engine.h"
#include "pager/order.h"
#include "pager/probe.h"
#include "pager/shared.h"
#include "pager/source.h"
#include "trace/trace.h"

#define SLICE_NS     100000ull
#define PAGE_4K	     4096ull
#define PAGE_2M	     (2ull << 20)
#define NS_PER_MS    1000000ull
#define NS_PER_S     1000000000ull
#define WAITER_HASH  256u
#define CHUNK_HASH   4096u
#define BUFFER_SIZES 10u
#define LEN(a)	     (sizeof(a) / sizeof((a)[0]))
#define of(p, t, m)  ((t *)((char *)(p)-offsetof(t, m)))

/* ---- lists, timers
 */

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_add(struct list *at, struct list *l)
{
	l->prev = at->prev;
	l->next = at;
	at->prev->next = l;
	at->prev = l;
}

static inline void list_del(struct list *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	list_init(l);
}

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

struct timer {
	struct list link; /* by `due`; empty: not set */
	uint64_t due;
	void (*fn)(void *arg);
	void *arg;
};

/* ---- the two userfaultfds (uffd.c)
 */

struct uffd_ops {
	int (*ioctl)(int fd, unsigned long request, void *arg); /* 0 or a negative errno */
	ssize_t (*read)(int fd, void *buf, size_t count);
	int (*close)(int fd);
	void *(*mmap)(size_t len, int prot, void *hint, int *error);
	int (*munmap)(void *addr, size_t len);
	int (*madvise)(void *addr, size_t len, int advice);
	/* The bytes of a page of this process that may vanish at any time; it never waits. */
	int (*peek)(void *addr, void *buf, size_t len);
};
extern const struct uffd_ops uffd_kernel, uffd_own;

/* A new one of this process, initialised. features: in, those wished for; out, those that are on.
 */
int uffd_open(const struct uffd_ops *ops, uint64_t *features);

/* ---- sources, chunks (fetch.c)
 */

struct feed {
	struct list link; /* in engine.feeds */
	struct engine *e;
	struct source *s;
	struct shared_source *shared;
	uint32_t number;
	unsigned guests; /* that are filled from it */
	unsigned under_way;
	unsigned failures;	   /* in a row */
	uint64_t failing_since;	   /* the first of them */
	bool full;		   /* it said -EAGAIN; until the next process() */
	bool own_shared;	   /* `shared` is ours alone: the pager's file has no room for it */
	struct list demand, ahead; /* chunks that wait for their turn */
	struct list starved;	   /* guests whose prefetch waits for room (ahead.link) */
	struct chunk *hash[CHUNK_HASH];
	unsigned nahead;  /* chunks that nobody waits for, and that are not there yet */
	uint64_t arrived; /* bytes that are there, and were not given to anybody yet */
};

enum chunk_state {
	CHUNK_QUEUED,
	CHUNK_FETCHING,
	CHUNK_DELAYED, /* until its next try */
	CHUNK_READY,   /* in `buf`: in engine.ready, or in the cache */
};

struct chunk {
	struct source_request request;
	struct feed *feed;
	struct chunk *hash_next;
	struct list link;  /* a queue of the feed's, engine.ready*, or the cache */
	struct list wants; /* who is to have what of it */
	enum chunk_state state;
	bool demand;	/* somebody waits for it */
	bool forgotten; /* no longer in the hash; its answer is thrown away */
	bool idle;	/* in the cache */
	bool failing;	/* it is being taken from who wants it */
	bool counted;	/* in feed.arrived */
	unsigned tries;
	int error;
	uint64_t begun, asked; /* when it was asked for, and asked of the source last */
	struct timer next;     /* the next try */
	struct timer deadline;
};

/* Pages [page, page + n) of a guest that a chunk has from byte `at` on. */
struct want {
	struct list of_chunk, of_guest;
	struct guest *g;
	struct chunk *chunk;	   /* NULL: the pages are to be looked at again */
	struct assembly *assembly; /* of the one large page that this is a part of */
	uint64_t page;
	uint32_t n, at, bytes;
	uint32_t into; /* the assembly */
	bool ahead;
	bool parked; /* the contents are there, but could not be filled */
};

/* A page larger than a chunk, or across two. */
struct assembly {
	struct guest *g;
	uint64_t page;
	void *buf;
	uint64_t size;
	unsigned missing; /* wants that are not there yet */
	bool ahead;
};

int feed_open(struct engine *e, struct source *s, struct feed **out);
/* For a source without guests: gives up all fetches. True: none is under way any more. */
bool feed_quiet(struct feed *f);
void feed_close(struct feed *f); /* waits for that */
struct feed *feed_find(struct engine *e, const struct source *s);
/* Pages [page, page + n) of region r, all missing. */
void fetch_pages(struct guest *g, const struct guest_region *r, uint64_t page, uint64_t n,
		 bool ahead);
/* A page that faulted, which is missing. */
void fetch_demand(struct guest *g, const struct guest_region *r, uint64_t page);
/* Somebody waits for a page that is being fetched. */
void fetch_join(struct guest *g, const struct guest_region *r, uint64_t page);
/* What is queued goes to the sources as far as limits allow. */
void fetch_submit(struct engine *e);
/* What has arrived goes to the guests; that nobody waits for until `until`. More is left? */
bool fetch_deliver(struct engine *e, uint64_t until);
/* A guest ends, or pages of it are not wanted any more. */
void fetch_forget(struct guest *g);
/* A want that could not be filled is tried again. */
void fetch_again(struct want *w);
bool fetch_ahead_room(const struct engine *e, const struct feed *f);
/* Memory of chunks and assemblies. */
void *buffer_get(struct engine *e, size_t size);
void buffer_put(struct engine *e, void *buf, size_t size);
/* There is nothing to do: what is not needed for a while goes back. */
void buffers_trim(struct engine *e);
void buffers_free(struct engine *e);

/* ---- guests
 */

struct waiter {
	struct waiter *next;
	uint64_t page, addr, since;
	uint32_t thread, tries, slot; /* in guest_file.waiter, or GUEST_WAITERS */
	uint16_t flags;		      /* TRACE_* of its fault */
};

struct ahead {
	bool on;
	bool starved;
	bool lost; /* something could not be had, and nobody waited for it */
	bool all;  /* go on in order after the recording's end */
	struct order order;
	size_t run;	    /* of the order */
	uint64_t at;	    /* bytes of that run that are done */
	uint64_t page;	    /* in order: next */
	uint64_t in_flight; /* bytes being fetched */
	struct list link;   /* in engine.ahead */
	struct list urgent; /* in engine.urgent: it has just faulted */
};

struct record {
	struct order_writer *w;
	struct timer timer;
	uint64_t faults, peak; /* in this period; the most there were in one */
	unsigned quiet;	       /* periods in a row */
	uint64_t pages;
	bool failed;
	uint64_t run, len; /* of the source: not added yet */
};

struct evict;

struct guest {
	struct list link; /* in engine.guests */
	struct engine *e;
	struct feed *feed;
	const struct uffd_ops *ops;
	struct guest_file *f;
	uint8_t *states; /* one byte each; only page.c writes them */
	size_t file_size;
	int file, uffd, memfd, pidfd;
	uint32_t last;	       /* region that was looked up last */
	enum guest_end ending; /* it is to end; the loop does it */
	bool own, failing;
	bool no_poison, strange; /* has said so in the log */
	void *user;

	/* inbox */
	unsigned inbox_n, inbox_at, batch;
	bool busy; /* messages are left in the inbox */
	bool taking_over;

	/* fills that have to wait until the events have been read, or for memory */
	struct list parked; /* wants */
	struct list wants;  /* all of them that are with chunks */
	struct timer park;
	struct timer look; /* whether its memory is there, where no pidfd tells */
	unsigned looks;	   /* soon after one another */
	unsigned park_tries;
	uint64_t park_since;

	struct waiter *waiters[WAITER_HASH];
	struct ahead ahead;
	struct record record;
	struct evict *evict;

	/* Who is told of writes to protected pages (a snapshot): returns whether it has dealt with
	 * it. */
	bool (*wp)(struct guest *g, uint64_t addr, uint32_t thread, void *arg);
	void *wp_arg;

	/* of uf_pager_wait */
	void (*settled)(struct guest *g, void *arg);
	void *settled_arg;
};

/* guest.c */
void guest_fail(struct guest *g, enum guest_end why); /* ends at the loop's next turn */
void guest_give_up(struct guest *g, const char *why);
void guest_reap(struct engine *e);
int guest_fork(struct guest *parent, int uffd);
const struct guest_region *region_at(struct guest *g, uint64_t addr);
const struct guest_region *region_of(struct guest *g, uint64_t page);

static inline uint64_t page_addr(const struct guest_region *r, uint64_t page)
{
	return r->addr + (page - r->first) * r->page_size;
}

static inline uint64_t page_offset(const struct guest_region *r, uint64_t page)
{
	return r->offset + (page - r->first) * r->page_size;
}

static inline uint64_t region_end(const struct guest_region *r)
{
	return r->first + r->size / r->page_size;
}

/* inbox.c */
void inbox_ready(void *guest, uint32_t events);
/* What it holds from before: of a server that is gone. */
void inbox_take_over(struct guest *g);
bool inbox_work(struct guest *g);
void inbox_unmap(struct guest *g, uint64_t start, uint64_t end, unsigned message);
bool regions_redo(struct guest *g);

/* page.c */
enum page_state page_state(const struct guest *g, uint64_t page);
bool page_has(const struct guest *g, uint64_t page, unsigned flag);
/* From `page` on, before `end`: how many are missing. */
uint64_t page_missing_run(const struct guest *g, uint64_t page, uint64_t end);
void page_fetching(struct guest *g, uint64_t page, uint64_t n);
/* Back to missing: those that were being fetched. */
void page_canceled(struct guest *g, uint64_t page, uint64_t n);
/* There is something in them now. Returns how many had none as far as we knew. */
uint64_t page_filled(struct guest *g, uint64_t page, uint64_t n);
void page_removed(struct guest *g, uint64_t page, uint64_t n);
/* It was there, and is not. */
void page_lost(struct guest *g, uint64_t page);
void page_failed(struct guest *g, uint64_t page);
void page_evicted(struct guest *g, uint64_t page, bool saved);
void page_flag(struct guest *g, uint64_t page, unsigned set, unsigned clear);
/* After a takeover: what was under way is missing, nobody waits, and nonsense is not believed. */
void page_settle(struct guest *g);

/* waiters, also in page.c */
void waiter_add(struct guest *g, uint64_t page, uint64_t addr, uint32_t thread, uint16_t flags);
/* Those of a page go on. */
void waiter_done(struct guest *g, uint64_t page);
uint64_t waiter_since(struct guest *g, uint64_t page);
/* Pages of [page, page + n) that somebody waits for are looked at again, soon. */
void waiter_retry(struct guest *g, uint64_t page, uint64_t n);
/* Who waits for [page, page + n) has been woken for another reason. */
void waiter_forget(struct guest *g, uint64_t page, uint64_t n);
void waiter_free(struct guest *g);

/* fill.c */
enum fill_why {
	FILL_DEMAND, /* somebody waits for one of them; who waits is woken */
	FILL_AHEAD,  /* prefetch: who came meanwhile is woken when its message is read */
};
/*
 * Pages [page, page + n) get src, or zeros where it is NULL. *done: how many were dealt with from
 * the first on. 0: all; -EAGAIN, -ENOMEM: not now (guest_park); -EFAULT: src cannot be read;
 * -ESRCH: the guest is ending.
 */
int fill_pages(struct guest *g, const struct guest_region *r, uint64_t page, uint64_t n,
	       const void *src, enum fill_why why, uint64_t *done);
/* Shows the page that the file has already (minor faults). */
int fill_continue(struct guest *g, const struct guest_region *r, uint64_t page);
void fill_poison(struct guest *g, const struct guest_region *r, uint64_t page);
void fill_wake(struct guest *g, uint64_t addr, uint64_t len);
int fill_unprotect(struct guest *g, uint64_t addr, uint64_t len);
int fill_protect(struct guest *g, uint64_t addr, uint64_t len);
/* A page at addr that is in no region: zero. */
void fill_stray(struct guest *g, uint64_t addr);
/* Pages that could not be filled now: again after the events have been read. error: why. */
void guest_park(struct guest *g, struct want *w, int error);
void guest_park_pages(struct guest *g, uint64_t page, uint64_t n, int error);
void guest_unpark(void *guest);

/* demand.c */
/* Somebody waits for a page: whatever its state, see that he is answered. */
void demand(struct guest *g, uint64_t page);
/* What a source is known to have from `offset` on, for *len bytes; beyond its end is zero. */
enum source_contents contents_at(struct feed *f, uint64_t offset, uint64_t *len);
/* In memory already, or NULL. */
const void *contents_peek(struct feed *f, uint64_t offset, uint64_t len);
/* Pages that were asked for cannot be had. */
void pages_given_up(struct guest *g, const struct guest_region *r, uint64_t page, uint64_t n,
		    int error);

/* ahead.c */
int ahead_begin(struct guest *g, const char *order, char *why, size_t why_size);
void ahead_end(struct guest *g);
void ahead_kick(struct guest *g);
void ahead_faulted(struct guest *g);
/* One round. There is more to do at once? */
bool ahead_work(struct engine *e);
unsigned ahead_near(const struct guest *g);
/* All of its memory, also what a recording has not. */
void ahead_all(struct guest *g);
bool ahead_settled(const struct guest *g);
/* A fetch for it has ended, of so many bytes of prefetch. */
void ahead_arrived(struct guest *g, uint64_t bytes);
/* There is room for one more chunk. */
void ahead_room(struct feed *f);

/* record.c */
int record_begin(struct guest *g, const char *path, char *why, size_t why_size);
void record_touch(struct guest *g, uint64_t offset, uint64_t len);
void record_end(struct guest *g);

/* evict.c */
int evict_begin(struct guest *g, const struct guest_config *c, char *why, size_t why_size);
void evict_end(struct guest *g);
/* A page has come. */
void evict_added(struct guest *g, uint64_t page);
/* Room for n more. */
void evict_room(struct guest *g, uint64_t n);
int evict_load(struct guest *g, uint64_t page, const void **contents);
void evict_forget(struct guest *g, uint64_t page);
bool evict_written(struct guest *g, uint64_t page);
/* A page that is missing faulted. */
void evict_faulted(struct guest *g, const struct guest_region *r, uint64_t page);
/* Are neighbours of such pages worth their place in memory? */
bool evict_neighbours(const struct guest *g);
/* Whether pages are filled write-protected, so that the first write is noticed. */
bool evict_tracks(const struct guest *g);
void evict_protected(struct guest *g, uint64_t page, uint64_t n);

/* ---- the engine
 */

struct post {
	struct post *next;
	void (*fn)(void *arg);
	void *arg;
};

struct engine {
	struct engine_options o;
	int epoll, wake, timerfd, file;
	uint64_t timer_set; /* what timerfd is set to; 0: nothing */
	struct pager_file *f;
	atomic_bool stop;
	pthread_mutex_t posts_lock;
	struct post *posts, **posts_end;
	struct watch **watches; /* by descriptor */
	size_t nwatches;
	struct watch *dead; /* until the end of the turn */
	struct list timers;
	struct list guests, feeds;
	bool work; /* somebody has more to do at once */
	struct list ahead, urgent;
	struct list ready, ready_ahead; /* chunks */
	struct list cache;		/* chunks, the least recently used first */
	uint64_t cached, in_flight, in_flight_limit;
	unsigned recording; /* guests */
	uint64_t tokens_at; /* prefetch's bandwidth */
	int64_t tokens;
	bool throttled; /* until tokens_timer */
	struct timer tokens_timer;
	struct free_buffer *buffers[BUFFER_SIZES]; /* by size: 4 KiB, 8 KiB ... 2 MiB */
	uint64_t buffers_bytes;
	void *zeros; /* 2 MiB */
	uint64_t random;
	bool reap; /* a guest is to end */
};

void timer_set(struct engine *e, struct timer *t, uint64_t ns);
void timer_clear(struct timer *t);
uint64_t engine_random(struct engine *e);

static inline void count(struct guest *g, enum guest_count what, uint64_t n)
{
	_Atomic uint64_t *c = &g->f->count[what];

	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static inline void bump(_Atomic uint64_t *c, int64_t n)
{
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + (uint64_t)n,
			      memory_order_relaxed);
}

/* report.c */
void histogram_add(struct shared_histogram *h, uint64_t ns);
uint64_t histogram_quantile(const struct shared_histogram *h, double q);
void report(struct engine *e, enum trace_kind kind, uint32_t process, uint32_t thread,
	    uint64_t time, uint64_t addr, uint64_t arg, uint64_t span, unsigned flags);
void report_name(struct engine *e, enum trace_kind kind, uint32_t process, uint32_t thread,
		 const char *text);

/* program.c: a source that is a function of the program's. */
int program_source(uint64_t size, uint32_t chunk, unsigned threads,
		   int (*read)(void *arg, uint64_t offset, void *buf, size_t len), void *arg,
		   struct source **out);

#endif
