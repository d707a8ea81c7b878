/*
 * engine.h - the pager's engine: guests whose missing pages are fetched from a source and filled.
 *
 * One thread, the engine's, owns everything here; nothing has locks. It waits in one epoll set for
 * the guests' descriptors, the sources' and timers, and never blocks elsewhere: what may block is
 * asked of io_uring, or of threads of a source's own. What other threads want of the engine they
 * post (engine_post). uf_pager_new starts such a thread; `userfault serve` runs it on its main one.
 *
 *   engine.c    the loop, descriptors, timers, posts
 *   guest.c     guests: attach, take over, end; their files (pager/shared.h)
 *   inbox.c     messages: faults, and the events that change what is where
 *   page.c      the states of pages, and the only code that changes them
 *   fill.c      COPY, ZEROPAGE, CONTINUE, POISON and everything they can answer
 *   fetch.c     chunks: under way, joined, retried, cached, given up
 *   ahead.c     prefetch: in the order of a recording, or in order; within its bandwidth
 *   record.c    the recording
 *   evict.c     limits: what leaves memory, and where to
 *   uffd.c      the two userfaultfds: the kernel's, and Userfault's through the library
 *
 * What must hold:
 *   1. A page that was removed never gets the source's contents again.
 *   2. A message that was read is answered: by a fill, a wake, or by the guest's end. Messages are
 *      read straight into the guest's file and stay there until their faults are resolved or are in
 *      the states as PAGE_WAITED and their events are in the states; so a server that is killed at
 *      any instruction loses none. Taking over applies the inbox once more (events are idempotent)
 *      and wakes all the guest's memory: who still misses a page asks again.
 *   3. Nothing that one guest does, or one source fails to do, delays others for longer than a
 *      slice: work that can be long is cut into slices of about 100 us.
 *   4. Memory: bytes in flight stay below their limit; demand may exceed it by one chunk a guest.
 *
 * Probes (USDT, provider "userfault"); g is the number of the guest:
 *   pager_fault(g, address, flags of the message, thread)
 *   pager_fetch(number of the source, offset, bytes, error or 0)   when it has been answered
 *   pager_fill(g, address, bytes, enum trace_fill)
 *   pager_wake(g, address, bytes, 0)			       without a fill
 *   pager_evict(g, address, bytes, whether they were changed)
 */
#ifndef UF_PAGER_ENGINE_H
#define UF_PAGER_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pager/shared.h"
#include "pager/source.h"

struct engine;
struct guest;
struct uffd_ops;

enum engine_log {
	ENGINE_ERROR,
	ENGINE_WARNING,
	ENGINE_INFO,
	ENGINE_DEBUG
};

enum engine_failure {
	FAILURE_POISON, /* the page: who touches it gets SIGBUS (a VMM: a machine check); where the
			 * userfaultfd has no POISON: kill */
	FAILURE_KILL,	/* the guest: engine_hooks.give_up */
	FAILURE_WAIT,	/* try again, less and less often, for ever */
};

struct engine_hooks {
	void (*log)(void *arg, enum engine_log level, const char *text);
	/* A guest has ended. Its descriptors are closed when this returns. */
	void (*ended)(void *arg, struct guest *g, enum guest_end why);
	/* FAILURE_KILL for this guest; it is ended next. NULL: its process is sent SIGKILL. */
	void (*give_up)(void *arg, struct guest *g, const char *why);
	/* A guest's process has forked, and its child's memory is a guest of its own. */
	void (*forked)(void *arg, struct guest *parent, struct guest *child);
	void *arg;
};

struct engine_options {
	uint64_t in_flight;   /* bytes being fetched at a time, all guests; 0: 32 MiB */
	uint64_t cache;	      /* bytes of fetched chunks kept for other guests; of costly sources */
	uint64_t bandwidth;   /* bytes/s for prefetch; 0: no limit */
	unsigned deadline_ms; /* for a page from its fault on; 0: 10 s */
	unsigned near; /* pages filled around one that faulted at most; 0: as the engine likes */
	enum engine_failure on_failure;
	int file; /* a pager file (struct pager_file) to go on with, or -1: make one */
	const char *name;
	struct trace_file *trace; /* or NULL */
	struct engine_hooks hooks;
};

int engine_new(const struct engine_options *options, struct engine **out);
/* All guests are detached, all sources closed. */
void engine_free(struct engine *e);
/* Until engine_stop. */
int engine_run(struct engine *e);
void engine_stop(struct engine *e);
/* For other threads: fn runs on the engine's thread soon. */
int engine_post(struct engine *e, void (*fn)(void *arg), void *arg);
/* fn when fd has one of events (EPOLL*), until unwatched. Level-triggered. events 0: unwatch. */
int engine_watch(struct engine *e, int fd, uint32_t events, void (*fn)(void *arg, uint32_t events),
		 void *arg);
/* fn once, in ms from now. Replaces that fn's and arg's earlier time. */
int engine_timer(struct engine *e, unsigned ms, void (*fn)(void *arg), void *arg);
int engine_file(struct engine *e); /* descriptor of its pager file */
struct pager_file *engine_shared(struct engine *e);
void engine_say(struct engine *e, enum engine_log level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- sources
 */

/* From now on the engine polls it and closes it at the end. One source may serve many guests. */
int engine_add_source(struct engine *e, struct source *s);

/* ---- guests
 */

struct guest_config {
	struct source *source;
	int uffd;  /* the engine's from now on, also when this fails */
	int memfd; /* of minor regions, or -1. As uffd */
	int pidfd; /* of the guest's process, or -1. As uffd */
	uint32_t pid, uid;
	const char *name;		   /* NULL: "guest N" */
	const struct guest_region *region; /* addr, size, offset, page_size, flags */
	size_t nregions;
	bool own;		    /* memory of this process */
	const struct uffd_ops *ops; /* NULL: uffd is the kernel's, or looks like it */
	uint64_t limit;		    /* bytes of it in memory; 0: no limit (own only) */
	bool readonly;	      /* nothing in it changes; else it is registered for WP (limit only) */
	const char *spill;    /* directory for changed pages that leave; NULL: they stay */
	const char *record;   /* order to record to, or NULL */
	const char *prefetch; /* order to prefetch by; NULL: in order of addresses */
	bool no_prefetch;     /* demand only */
	void *user;
};

/*
 * Checks the regions (-EINVAL: misaligned, empty, overlapping, wrapping, too many, not registered;
 * -ERANGE: beyond the source; why: one sentence) and begins to serve.
 */
int guest_attach(struct engine *e, const struct guest_config *config, struct guest **out, char *why,
		 size_t why_size);
/*
 * The same for a guest that another server had: file is its guest file, which also says what its
 * uid is. Everything in it is checked; what does not hold is -EINVAL, and the descriptors are left
 * alone.
 */
int guest_adopt(struct engine *e, const struct guest_config *config, int file, struct guest **out,
		char *why, size_t why_size);
/*
 * No more is served, and its descriptors are closed: who waits goes on, unless somebody else has a
 * duplicate of the userfaultfd. Not from within a hook.
 */
void guest_detach(struct guest *g, enum guest_end why);
int guest_fd(struct guest *g); /* its guest file */
int guest_uffd(struct guest *g);
int guest_memfd(struct guest *g);
int guest_pidfd(struct guest *g);
void *guest_user(struct guest *g);
struct guest_file *guest_shared(struct guest *g);
const char *guest_name(struct guest *g);
/* For each guest there is. */
void engine_each_guest(struct engine *e, void (*fn)(struct guest *g, void *arg), void *arg);

#endif
