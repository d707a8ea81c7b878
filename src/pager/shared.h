/*
 * shared.h - what a pager keeps in memory files, so that it outlives the process that works with
 * it, and so that others may look: one file for each server or program with a pager
 * ("userfault-pager"), one for each guest ("userfault-guest").
 *
 *   the engine     writes them. It believes what a guest's file says only after a takeover, and
 *                  then checks it
 *   the keeper     holds them, with the guests' descriptors, and hands them to a new server
 *   userfault top  and the metrics read them, live; a process's files are found by their names in
 *                  /proc/PID/fd
 *
 * A guest is one userfaultfd and the memory registered with it: a VM, or a region of the program's
 * own.
 */
#ifndef UF_PAGER_SHARED_H
#define UF_PAGER_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PAGER_FILE_NAME "userfault-pager"
#define GUEST_FILE_NAME "userfault-guest"

#define PAGER_MAGIC    0x3152454741504655ull /* "UFPAGER1" */
#define GUEST_MAGIC    0x3154534555474655ull /* "UFGUEST1" */
#define SHARED_VERSION 2u		     /* of both: every field may move with it */

/*
 * The state of a page: one byte. Only page.c changes it.
 *
 *   missing ──fetch──▶ fetching ──filled──▶ present ──REMOVE──▶ removed
 *      ▲                 │    └──given up──▶ failed ──retry──▶ fetching
 *      └──evicted────────┴─(canceled)
 *
 * removed stays: from then on the page is zero whenever it faults, whatever the source has there.
 * present says that we have filled it; a fault on it is answered by filling it once more, and what
 * is there says EEXIST.
 */
enum page_state {
	PAGE_MISSING,
	PAGE_FETCHING, /* after a takeover: missing */
	PAGE_PRESENT,
	PAGE_REMOVED,
	PAGE_FAILED,  /* given up: poisoned, or its faults wait (--on-failure=wait) */
	PAGE_EVICTED, /* it was present, was changed, and is in the spill store */
	PAGE_STATES
};
#define PAGE_STATE_MASK 0x07u
#define PAGE_DIRTY	0x08u /* written since it was filled (regions with a limit) */
#define PAGE_WAITED	0x10u /* somebody waits for it */
#define PAGE_USED	0x20u /* for the eviction's clock */
#define PAGE_PROTECTED	0x40u /* write-protected by us */
#define PAGE_HERE	0x80u /* removed, and filled with zeros since */

/* Latencies: bucket b counts [2^(b/4), 2^((b+1)/4)) ns; as MM_LATENCY_BUCKETS. */
#define SHARED_BUCKETS 160

struct shared_histogram {
	_Atomic uint64_t bucket[SHARED_BUCKETS];
	_Atomic uint64_t count, sum_ns, max_ns;
};

/* What is counted for each guest: NAME, the metric's name, and what it counts. */
#define GUEST_COUNTS(X)                                                                            \
	X(FAULTS, "faults", "Faults that a message was read for.")                                 \
	X(FAULTS_MINOR, "faults_minor", "Of them, minor faults.")                                  \
	X(FAULTS_WP, "faults_wp", "Of them, writes to protected pages.")                           \
	X(FAULTS_LATE, "faults_late", "Of them, for pages that were filled meanwhile.")            \
	X(FAULTS_JOINED, "faults_joined", "Of them, joined to a fetch that was under way.")        \
	X(FILLED_DEMAND, "filled_demand_pages", "Pages filled because of a fault of their own.")   \
	X(FILLED_NEAR, "filled_near_pages", "Pages filled along with a neighbour that faulted.")   \
	X(FILLED_AHEAD, "filled_ahead_pages", "Pages filled by prefetch.")                         \
	X(FILLED_ZERO, "filled_zero_pages", "Of all filled, without contents: zero or removed.")   \
	X(EXISTED, "fills_existed", "Fills that met a page that was there (EEXIST).")              \
	X(PARTIAL, "fills_partial", "Fills that stopped half way and went on.")                    \
	X(AGAIN, "fills_again", "Fills put off until the events were read (EAGAIN).")              \
	X(EVENTS, "events", "REMOVE, UNMAP, REMAP and FORK events.")                               \
	X(REMOVED, "removed_pages", "Pages that the guest gave back.")                             \
	X(EVICTED, "evicted_pages", "Pages taken out of memory to keep to the limit.")             \
	X(SPILLED, "spilled_pages", "Of them, written to the spill store.")                        \
	X(FAILED, "failed_pages", "Pages that could not be had.")                                  \
	X(POISONED, "poisoned_pages", "Of them, poisoned.")                                        \
	X(TAKEOVERS, "takeovers", "Times that a new server took the guest over.")

enum guest_count {
#define X(name, metric, help) GUEST_##name,
	GUEST_COUNTS(X)
#undef X
	GUEST_COUNT_MAX
};

enum guest_state {
	GUEST_SETUP, /* not all filled in */
	GUEST_LIVE,
	GUEST_ENDED,
};

enum guest_end {
	GUEST_RUNS,
	GUEST_EXITED,	/* its process is gone */
	GUEST_DETACHED, /* by whoever attached it */
	GUEST_CUT_OFF,	/* it broke the rules: floods, nonsense */
	GUEST_GIVEN_UP, /* --on-failure=kill */
	GUEST_UNMAPPED, /* nothing of its memory is left */
};

/* A stretch of the guest's addresses. Splitting and moving by UNMAP and REMAP events makes more. */
struct guest_region {
	uint64_t addr, size; /* size 0: not in use */
	uint64_t offset;     /* in the source */
	uint64_t page_size;
	uint64_t first; /* the index of its first page in states[], of page_size each */
	uint32_t flags; /* enum region_flag */
	uint32_t pad;
};
enum region_flag {
	REGION_MINOR = 1,   /* filled through the memfd, at `offset` there too, and CONTINUE */
	REGION_NO_ZERO = 2, /* ZEROPAGE does not work here (huge pages): zeros are copied */
	REGION_LIMITED = 4, /* pages leave again */
};
#define GUEST_REGIONS 256u

/* A thread that waits for a page. */
struct guest_waiter {
	uint64_t addr;	 /* 0: free */
	uint64_t since;	 /* CLOCK_MONOTONIC, ns: when the message was read */
	uint32_t thread; /* 0: not known (UFFD_FEATURE_THREAD_ID) */
	uint32_t tries;
};
#define GUEST_WAITERS 64u

/* Messages are read into this, so that those of a server that was killed are not lost. */
#define GUEST_INBOX 128u

struct guest_file {
	uint64_t magic;
	uint32_t version;
	uint32_t header_size;	/* sizeof(struct guest_file) */
	uint64_t size;		/* of the file */
	uint64_t npages;	/* states[] has that many bytes; REMAP does not add any */
	uint64_t states_at;	/* where in the file states[0] is */
	uint64_t id;		/* random */
	uint32_t number;	/* of the guest: counts up */
	uint32_t pid;		/* of its process, as the server sees it; 0: not known */
	uint32_t uid;		/* of its process; UINT32_MAX: not known */
	uint32_t orphan;	/* that process is gone, the memory is another one's */
	uint64_t started;	/* CLOCK_REALTIME, ns */
	uint64_t uffd_features; /* what was found to be on, as far as can be told */
	char name[64];		/* "guest 3", or what a program called its region */
	char source[512];	/* struct source's spec */
	_Atomic uint32_t state; /* enum guest_state */
	_Atomic uint32_t end;	/* enum guest_end */
	uint32_t own;		/* it is memory of the pager's own process */
	uint32_t nregions;	/* in use are among region[0 .. nregions) */
	struct guest_region region[GUEST_REGIONS];

	_Atomic uint64_t count[GUEST_COUNT_MAX];
	_Atomic uint64_t resident;		  /* pages that are there because of us, about */
	_Atomic uint64_t in_flight;		  /* bytes being fetched for it */
	_Atomic uint64_t ahead_done, ahead_total; /* bytes of its prefetch */
	_Atomic uint32_t recording;		  /* its first touches are being recorded */
	_Atomic uint32_t waiting; /* how many wait, also those without room in waiter[] */
	struct guest_waiter waiter[GUEST_WAITERS];
	struct shared_histogram latency; /* message read to fault resolved */

	/*
	 * The regions change as a whole: they are written to next[] first, and change says that
	 * they are complete; a new server finishes what it finds begun. 0: none; else how many, and
	 * shifted by 32 the message that is done with it, counted from 1 (0: none).
	 */
	_Atomic uint64_t change;
	struct guest_region next[GUEST_REGIONS];

	_Atomic uint64_t inbox_bytes; /* being worked on; a message is done when its event is 0 */
	uint8_t inbox[GUEST_INBOX * 32];
};

/* ---- the pager's own file
 */

struct shared_source {
	char spec[512];
	char kind[16];
	uint64_t size;
	_Atomic uint64_t fetches, bytes, errors, retries;
	_Atomic uint64_t in_flight, in_flight_bytes;
	_Atomic uint64_t cache_hits;
	_Atomic uint32_t healthy;
	uint32_t used;
	struct shared_histogram latency;
};
#define PAGER_SOURCES 8u

struct pager_file {
	uint64_t magic;
	uint32_t version;
	uint32_t header_size;
	uint64_t id;
	uint64_t started;	    /* CLOCK_REALTIME, ns; of the first server */
	_Atomic uint64_t restarted; /* of this one */
	_Atomic uint32_t pid;	    /* the server */
	_Atomic uint32_t keeper;    /* 0: none */
	_Atomic uint32_t next_number;
	_Atomic uint32_t takeovers;
	char name[128]; /* the socket's path, or the program's name */
	_Atomic uint64_t accepted, refused, ended, cut_off; /* guests */
	_Atomic uint64_t cache_bytes, cache_limit, in_flight_bytes, in_flight_limit;
	_Atomic uint64_t bandwidth; /* of prefetch, bytes/s; 0: no limit */
	struct shared_source source[PAGER_SOURCES];

	/* What the guests that have ended had counted: added up by whoever ends them. */
	_Atomic uint64_t ended_count[GUEST_COUNT_MAX];
	struct shared_histogram ended_latency;
};

#endif
