#include "mm/stats.h"

static unsigned bucket_of(uint64_t ns)
{
	unsigned top, b;

	if (ns < 4)
		return 0;
	top = 63 - (unsigned)__builtin_clzll(ns);
	b = top * 4 + (unsigned)((ns >> (top - 2)) & 3);
	return b < MM_LATENCY_BUCKETS ? b : MM_LATENCY_BUCKETS - 1;
}

/* Upper border of a bucket, ns. */
static uint64_t bucket_top(unsigned b)
{
	uint64_t base = (uint64_t)1 << (b / 4);

	return base + base * (b % 4 + 1) / 4;
}

void mm_stat_latency(struct mm_stats *s, uint64_t ns)
{
	atomic_fetch_add_explicit(&s->latency[bucket_of(ns)], 1, memory_order_relaxed);
	if (ns > atomic_load_explicit(&s->latency_max, memory_order_relaxed))
		atomic_store_explicit(&s->latency_max, ns, memory_order_relaxed);
}

uint64_t mm_stat_quantile(const struct mm_stats *s, unsigned num, unsigned den)
{
	uint64_t total = 0, seen = 0;

	for (unsigned b = 0; b < MM_LATENCY_BUCKETS; b++)
		total += atomic_load_explicit(&s->latency[b], memory_order_relaxed);
	for (unsigned b = 0; b < MM_LATENCY_BUCKETS; b++) {
		seen += atomic_load_explicit(&s->latency[b], memory_order_relaxed);
		if (total != 0 && seen * den >= total * num)
			return bucket_top(b);
	}
	return 0;
}
