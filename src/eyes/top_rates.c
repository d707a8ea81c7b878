/*
 * top_rates.c - what changed between two looks.
 */
#include "eyes/top.h"

#include <string.h>

uint64_t quarters_low(unsigned bucket)
{
	uint64_t base = (uint64_t)1 << (bucket / 4);

	return base + base * (bucket % 4) / 4;
}

uint64_t quarters_quantile(const uint64_t *bucket, double q)
{
	double all = 0, seen = 0;

	for (unsigned b = 0; b < SHARED_BUCKETS; b++)
		all += (double)bucket[b];
	if (all == 0)
		return NO_TIME;
	for (unsigned b = 0; b < SHARED_BUCKETS; b++) {
		if (bucket[b] && seen + (double)bucket[b] >= q * all) {
			uint64_t low = quarters_low(b), high = quarters_low(b + 1);
			double part = (q * all - seen) / (double)bucket[b];

			return low + (uint64_t)(part * (double)(high - low));
		}
		seen += (double)bucket[b];
	}
	return quarters_low(SHARED_BUCKETS - 1);
}

/* Counters never go down, but a file may have begun anew. */
static uint64_t grown(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

static const struct top_row *row_before(const struct look *before, const struct top_row *r)
{
	for (size_t i = 0; i < before->nrows; i++)
		if (before->row[i].kind == r->kind &&
		    memcmp(before->row[i].key, r->key, sizeof(r->key)) == 0)
			return &before->row[i];
	return NULL;
}

static void compare_row(struct top_row *r, const struct top_row *then, double seconds)
{
	r->compared = true;
	for (unsigned i = 0; i < TOP_COUNTS; i++)
		r->rate[i] = (double)grown(r->count[i], then->count[i]) / seconds;
	for (unsigned i = 0; i < SHARED_BUCKETS; i++)
		r->recent[i] = grown(r->bucket[i], then->bucket[i]);
	r->p50 = quarters_quantile(r->recent, 0.5);
	r->p99 = quarters_quantile(r->recent, 0.99);
}

static void compare_group(struct top_group *g, const struct top_group *then, double seconds)
{
	for (uint32_t i = 0; i < g->nsources && i < then->nsources; i++) {
		struct top_source *s = &g->source[i];
		const struct top_source *t = &then->source[i];
		uint64_t recent[SHARED_BUCKETS];

		s->fetch_rate = (double)grown(s->fetches, t->fetches) / seconds;
		s->byte_rate = (double)grown(s->bytes, t->bytes) / seconds;
		for (unsigned b = 0; b < SHARED_BUCKETS; b++)
			recent[b] = grown(s->bucket[b], t->bucket[b]);
		s->p50 = quarters_quantile(recent, 0.5);
		s->p99 = quarters_quantile(recent, 0.99);
	}
}

static const struct top_group *group_before(const struct look *before, const struct top_group *g)
{
	for (size_t i = 0; i < before->ngroups; i++)
		if (before->group[i].kind == g->kind &&
		    memcmp(before->group[i].key, g->key, sizeof(g->key)) == 0)
			return &before->group[i];
	return NULL;
}

void look_compare(struct look *now, const struct look *before)
{
	for (size_t i = 0; i < now->nrows; i++)
		now->row[i].p50 = now->row[i].p99 = NO_TIME;
	for (size_t i = 0; i < now->ngroups; i++)
		for (uint32_t n = 0; n < now->group[i].nsources; n++)
			now->group[i].source[n].p50 = now->group[i].source[n].p99 = NO_TIME;
	if (!before || now->at <= before->at)
		return;
	now->seconds = (double)(now->at - before->at) / 1e9;
	for (size_t i = 0; i < now->nrows; i++) {
		const struct top_row *then = row_before(before, &now->row[i]);

		if (then)
			compare_row(&now->row[i], then, now->seconds);
	}
	for (size_t i = 0; i < now->ngroups; i++) {
		const struct top_group *then = group_before(before, &now->group[i]);

		if (then)
			compare_group(&now->group[i], then, now->seconds);
	}
}
