/*
 * stats.h - what a space counts. Plain relaxed atomics, so that another process can read them live.
 */
#ifndef UF_MM_STATS_H
#define UF_MM_STATS_H

#include <stdatomic.h>
#include <stdint.h>

enum mm_stat {
	MM_STAT_MISSING, /* faults given to a handler, by kind */
	MM_STAT_WP,
	MM_STAT_MINOR,
	MM_STAT_RWP,
	MM_STAT_SIGBUS,	       /* faults answered with SIGBUS (poison, SIGBUS mode) */
	MM_STAT_TLB,	       /* present and allowed: only opened */
	MM_STAT_ORDINARY,      /* populated without a handler */
	MM_STAT_ASYNC,	       /* protection lifted without a message */
	MM_STAT_DRAWN,	       /* pages drawn in from aside */
	MM_STAT_FILLED,	       /* pages filled by COPY, ZEROPAGE, CONTINUE, MOVE, POISON */
	MM_STAT_EVENTS,	       /* REMAP, REMOVE, UNMAP sent */
	MM_STAT_MAPPINGS,      /* host mappings used for managed ranges: highest seen */
	MM_STAT_BUDGET,	       /* and how many they may use */
	MM_STAT_PAGES,	       /* pages under management: highest seen */
	MM_STAT_META,	       /* bytes of bookkeeping for them at that time */
	MM_STAT_HUGE_EMULATED, /* huge pages of 2 MiB that are ordinary memory: most mapped */
	MM_STAT_OUT,	       /* pages that left memory */
	MM_STAT_BACK,	       /* pages that came back from the swap store or their type's own */
	MM_STAT_REFUSED,       /* times that nothing could leave to make room under a limit */
	MM_STAT_RESIDENT,      /* pages in memory that count against a limit: highest seen */
	MM_STAT_SWAP,	       /* bytes in the swap store: highest seen */
	MM_STAT_INJECT_ERROR,  /* injected (uffd/inject.h): ioctls that failed with nothing done */
	MM_STAT_INJECT_STORM,  /* the same in storms, and REMOVE events more than there were */
	MM_STAT_INJECT_PART,   /* fills that ended early */
	MM_STAT_INJECT_EMPTY,  /* reads that found nothing */
	MM_STAT_INJECT_WAKE,   /* threads woken without a page */
	MM_STAT_INJECT_TWICE,  /* messages told twice */
	MM_STAT_INJECT_DELAY,  /* delays */
	MM_STAT_MAX,
};

/*
 * Latency of faults that a handler served, trap to return: bucket b counts [2^(b/4), 2^((b+1)/4))
 * ns, in quarter powers of two.
 */
#define MM_LATENCY_BUCKETS 160

struct mm_stats {
	_Atomic uint64_t count[MM_STAT_MAX];
	_Atomic uint64_t latency[MM_LATENCY_BUCKETS];
	_Atomic uint64_t latency_max;
};

static inline void mm_stat_add(struct mm_stats *s, enum mm_stat what, uint64_t n)
{
	atomic_fetch_add_explicit(&s->count[what], n, memory_order_relaxed);
}

static inline void mm_stat_peak(struct mm_stats *s, enum mm_stat what, uint64_t n)
{
	if (n > atomic_load_explicit(&s->count[what], memory_order_relaxed))
		atomic_store_explicit(&s->count[what], n, memory_order_relaxed);
}

/* Record one served fault of ns nanoseconds. */
void mm_stat_latency(struct mm_stats *s, uint64_t ns);
/* The latency below which the fraction num/den of the recorded faults lies, in ns. */
uint64_t mm_stat_quantile(const struct mm_stats *s, unsigned num, unsigned den);

#endif
