/*
 * table.c - hash tables that grow up to a limit, and histograms of latencies.
 */
#include "eyes/eyes.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_SLOTS 64u

void table_init(struct table *t, size_t item_size, uint32_t limit)
{
	*t = (struct table){.item_size = item_size, .limit = limit};
}

void table_free(struct table *t)
{
	free(t->key);
	free(t->item);
	free(t->slot);
	table_init(t, t->item_size, t->limit);
}

static uint32_t hash(uint64_t a, uint64_t b)
{
	uint64_t x = (a ^ (b * 0x9e3779b97f4a7c15ull)) * 0xff51afd7ed558ccdull;

	x ^= x >> 32;
	x *= 0xc4ceb9fe1a85ec53ull;
	return (uint32_t)(x >> 29);
}

static uint32_t *place(const struct table *t, uint64_t a, uint64_t b)
{
	uint32_t i = hash(a, b) & (t->nslots - 1);

	while (t->slot[i] && (t->key[t->slot[i] - 1].a != a || t->key[t->slot[i] - 1].b != b))
		i = (i + 1) & (t->nslots - 1);
	return &t->slot[i];
}

static bool grow_slots(struct table *t)
{
	uint32_t n = t->nslots ? t->nslots * 2 : FIRST_SLOTS;
	uint32_t *slot = calloc(n, sizeof(*slot));

	if (!slot)
		return false;
	free(t->slot);
	t->slot = slot;
	t->nslots = n;
	for (uint32_t i = 0; i < t->n; i++)
		*place(t, t->key[i].a, t->key[i].b) = i + 1;
	return true;
}

static bool grow_items(struct table *t)
{
	uint32_t room = t->room ? t->room * 2 : 16;
	void *key, *item;

	key = realloc(t->key, room * sizeof(*t->key));
	if (key)
		t->key = key;
	item = realloc(t->item, room * t->item_size);
	if (item)
		t->item = item;
	if (!key || !item)
		return false;
	t->room = room;
	return true;
}

void *table_find(const struct table *t, uint64_t a, uint64_t b)
{
	uint32_t i = t->nslots ? *place(t, a, b) : 0;

	return i ? table_item(t, i - 1) : NULL;
}

void *table_at(struct table *t, uint64_t a, uint64_t b)
{
	void *item = table_find(t, a, b);

	if (item)
		return item;
	if (t->n >= t->limit || (t->n * 2 >= t->nslots && !grow_slots(t)) ||
	    (t->n == t->room && !grow_items(t))) {
		t->full = true;
		return NULL;
	}
	t->key[t->n] = (struct table_key){a, b};
	*place(t, a, b) = t->n + 1;
	return memset(table_item(t, t->n++), 0, t->item_size);
}

/* ---- latencies
 */

void latency_add(struct latency *l, uint32_t ns)
{
	l->count++;
	l->sum += ns;
	if (ns > l->max)
		l->max = ns;
	l->bucket[bucket_of(ns, FINE_BITS)]++;
}

void coarse_add(struct latency_coarse *l, uint32_t ns)
{
	l->count++;
	l->sum += ns;
	if (ns > l->max)
		l->max = ns;
	l->bucket[bucket_of(ns, COARSE_BITS)]++;
}

/* Where in the bucket it lies, if its values are spread evenly. */
static uint64_t inside(unsigned b, unsigned bits, double part, uint32_t max)
{
	uint64_t low = bucket_low(b, bits), high = bucket_low(b + 1, bits);
	uint64_t at = low + (uint64_t)(part * (double)(high - low));

	return at < max ? at : max;
}

uint64_t latency_quantile(const struct latency *l, double q)
{
	double want = q * (double)l->count, seen = 0;

	for (unsigned b = 0; b < FINE; b++) {
		if (l->bucket[b] && seen + (double)l->bucket[b] >= want)
			return inside(b, FINE_BITS, (want - seen) / (double)l->bucket[b], l->max);
		seen += (double)l->bucket[b];
	}
	return l->max;
}

uint64_t buckets_quantile(const uint32_t *bucket, unsigned n, unsigned bits, uint32_t max, double q)
{
	double want = 0, seen = 0;

	for (unsigned b = 0; b < n; b++)
		want += bucket[b];
	want *= q;
	for (unsigned b = 0; b < n; b++) {
		if (bucket[b] && seen + bucket[b] >= want)
			return inside(b, bits, (want - seen) / bucket[b], max);
		seen += bucket[b];
	}
	return max;
}

uint64_t coarse_quantile(const struct latency_coarse *l, double q)
{
	return buckets_quantile(l->bucket, COARSE, COARSE_BITS, l->max, q);
}
