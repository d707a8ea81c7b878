/*
 * report.c - what is told to others: histograms, and records of a trace.
 */
#include "pager/internal.h"

/* 2^(1/4), 2^(2/4), 2^(3/4), with 63 bits after the point. */
static const uint64_t quarters[3] = {0x9837f0518db8a96full, 0xb504f333f9de6484ull,
				     0xd744fccad69d6af4ull};

void histogram_add(struct shared_histogram *h, uint64_t ns)
{
	unsigned log = 63 - (unsigned)__builtin_clzll(ns | 1), b = log * 4;
	uint64_t fraction = (ns | 1) << (63 - log);

	for (unsigned i = 0; i < 3; i++)
		b += fraction >= quarters[i];
	if (b >= SHARED_BUCKETS)
		b = SHARED_BUCKETS - 1;
	bump(&h->bucket[b], 1);
	bump(&h->count, 1);
	bump(&h->sum_ns, (int64_t)ns);
	if (ns > atomic_load_explicit(&h->max_ns, memory_order_relaxed))
		atomic_store_explicit(&h->max_ns, ns, memory_order_relaxed);
}

/* The upper end of the bucket that the q-quantile lies in, at most the maximum. */
uint64_t histogram_quantile(const struct shared_histogram *h, double q)
{
	static const double step[4] = {1.189207115, 1.414213562, 1.681792831, 2.0};
	uint64_t max = atomic_load_explicit(&h->max_ns, memory_order_relaxed);
	uint64_t total = atomic_load_explicit(&h->count, memory_order_relaxed), sum = 0;
	uint64_t rank = (uint64_t)((double)total * q);

	for (unsigned b = 0; b < SHARED_BUCKETS; b++) {
		sum += atomic_load_explicit(&h->bucket[b], memory_order_relaxed);
		if (sum > rank) {
			uint64_t end = (uint64_t)((double)(1ull << (b / 4)) * step[b % 4]);

			return end < max ? end : max;
		}
	}
	return max;
}

void report(struct engine *e, enum trace_kind kind, uint32_t process, uint32_t thread,
	    uint64_t time, uint64_t addr, uint64_t arg, uint64_t span, unsigned flags)
{
	struct trace_record *r = e->o.trace ? trace_claim(e->o.trace) : NULL;

	if (!r)
		return;
	r->time = time;
	r->addr = addr;
	r->arg = arg;
	r->process = process;
	r->thread = thread;
	r->value = trace_span(span);
	r->flags = (uint16_t)flags;
	trace_finish(r, kind);
}

void report_name(struct engine *e, enum trace_kind kind, uint32_t process, uint32_t thread,
		 const char *text)
{
	struct trace_record *r = e->o.trace ? trace_claim(e->o.trace) : NULL;

	if (!r)
		return;
	memset(r->text, 0, sizeof(r->text));
	memcpy(r->text, text, strnlen(text, sizeof(r->text)));
	r->process = process;
	r->thread = thread;
	trace_finish(r, kind);
}
