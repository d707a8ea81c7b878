/*
 * pages.c - the state of each page, followed through the records.
 */
#include "eyes/eyes.h"

#include <string.h>

#define CHUNKS (512u << 10) /* 128 GiB of pages of 4 KiB, in about 180 MiB */
#define STEPS  (1ull << 27) /* chunks looked at for ranges, in all */

const char *const page_is_keys[PAGE_IS_MAX] = {"missing", "present", "removed", "evicted",
					       "poisoned"};

void pages_init(struct pages *p, uint64_t page_size)
{
	*p = (struct pages){.size = page_size};
	table_init(&p->chunks, sizeof(struct page_chunk), CHUNKS);
	table_init(&p->counts, sizeof(struct page_counts), UINT16_MAX);
}

void pages_free(struct pages *p)
{
	for (uint32_t i = 0; i < p->counts.n; i++)
		spans_free(&((struct page_counts *)table_item(&p->counts, i))->ranges);
	table_free(&p->chunks);
	table_free(&p->counts);
}

uint64_t page_count(const struct pages *p, const struct page_counts *c, enum page_is is)
{
	uint64_t known = 0, all = c->registered / p->size;

	if (is != PAGE_IS_MISSING)
		return c->is[is];
	for (unsigned i = PAGE_IS_PRESENT; i < PAGE_IS_MAX; i++)
		known += c->is[i];
	return known < all ? all - known : 0;
}

static void set_page(struct pages *p, struct page_counts *c, uint8_t *is, enum page_is to)
{
	if (*is == to)
		return;
	c->is[*is]--;
	c->is[to]++;
	p->all.is[*is]--;
	p->all.is[to]++;
	*is = (uint8_t)to;
}

static void set_chunk(struct pages *p, struct page_counts *c, uint32_t process, uint64_t first,
		      uint64_t last, enum page_is to)
{
	struct page_chunk *chunk = to == PAGE_IS_MISSING
					   ? table_find(&p->chunks, process, first / CHUNK_PAGES)
					   : table_at(&p->chunks, process, first / CHUNK_PAGES);

	if (!chunk) {
		p->gave_up |= to != PAGE_IS_MISSING;
		return;
	}
	for (uint64_t i = first; i <= last; i++)
		set_page(p, c, &chunk->is[i % CHUNK_PAGES], to);
}

/* What is forgotten may be far larger than all that is known. */
static void forget_all(struct pages *p, struct page_counts *c, uint32_t process, uint64_t first,
		       uint64_t last)
{
	for (uint32_t i = 0; i < p->chunks.n; i++) {
		uint64_t at = p->chunks.key[i].b * CHUNK_PAGES;
		struct page_chunk *chunk = table_item(&p->chunks, i);

		if (p->chunks.key[i].a != process || at > last || at + CHUNK_PAGES <= first)
			continue;
		for (unsigned n = 0; n < CHUNK_PAGES; n++)
			if (at + n >= first && at + n <= last)
				set_page(p, c, &chunk->is[n], PAGE_IS_MISSING);
	}
}

static void set_range(struct pages *p, uint32_t process, uint64_t addr, uint64_t len,
		      enum page_is to)
{
	struct page_counts *c = table_at(&p->counts, process, 0);
	uint64_t first = addr / p->size, last, chunks;

	if (!c || len == 0 || len > UINT64_MAX - addr || p->gave_up)
		return;
	last = (addr + len - 1) / p->size;
	chunks = last / CHUNK_PAGES - first / CHUNK_PAGES + 1;
	if (to == PAGE_IS_MISSING && chunks > p->chunks.n) {
		p->steps += p->chunks.n;
		forget_all(p, c, process, first, last);
		return;
	}
	p->steps += chunks;
	if (p->steps > STEPS) {
		p->gave_up = true;
		return;
	}
	while (first <= last && !p->gave_up) {
		uint64_t end = first | (CHUNK_PAGES - 1);

		set_chunk(p, c, process, first, end < last ? end : last, to);
		first = end + 1;
	}
}

static void count_fault(struct pages *p, const struct trace_record *r)
{
	uint64_t page = r->addr / p->size;
	struct page_chunk *chunk = table_at(&p->chunks, r->process, page / CHUNK_PAGES);
	unsigned why = r->flags & TRACE_WHY;

	if (!chunk) {
		p->gave_up = true;
		return;
	}
	if (chunk->faults[page % CHUNK_PAGES] < UINT32_MAX)
		chunk->faults[page % CHUNK_PAGES]++;
	/* The rest is there after a fill, which says so itself. */
	if (why != TRACE_MISSING && why != TRACE_MINOR && why < WHYS &&
	    !(r->flags & (TRACE_RETRIED | TRACE_SIGNALLED)))
		set_range(p, r->process, r->addr, 1, PAGE_IS_PRESENT);
}

static void change_range(struct pages *p, const struct trace_record *r, bool add)
{
	struct page_counts *c = table_at(&p->counts, r->process, 0);
	uint64_t bytes;

	if (!c || r->arg > UINT64_MAX - r->addr)
		return;
	if (add) {
		bytes = spans_add(&c->ranges, r->addr, r->addr + r->arg, r->value);
		c->registered += bytes;
		p->all.registered += bytes;
		return;
	}
	bytes = spans_remove(&c->ranges, r->addr, r->addr + r->arg);
	c->registered -= bytes;
	p->all.registered -= bytes;
	set_range(p, r->process, r->addr, r->arg, PAGE_IS_MISSING);
}

void pages_apply(struct pages *p, const struct trace_record *r)
{
	switch (record_kind(r)) {
	case TRACE_RANGE:
	case TRACE_UNRANGE:
		change_range(p, r, record_kind(r) == TRACE_RANGE);
		break;
	case TRACE_FAULT:
		count_fault(p, r);
		break;
	case TRACE_FILL:
		if (!(r->flags & TRACE_FAILED))
			set_range(p, r->process, r->addr, r->arg,
				  (r->flags & 0xf) == TRACE_POISON ? PAGE_IS_POISONED
								   : PAGE_IS_PRESENT);
		break;
	case TRACE_REMOVE:
		set_range(p, r->process, r->addr, r->arg, PAGE_IS_REMOVED);
		break;
	case TRACE_EVICT:
		set_range(p, r->process, r->addr, r->arg, PAGE_IS_EVICTED);
		break;
	}
}
