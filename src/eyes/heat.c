/*
 * heat.c - addresses over time: which stretches of a process's memory get which rows, and what
 * happened there.
 */
#include "eyes/eyes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK (2ull << 20)

const char *const heat_keys[HEAT_LAYERS] = {
	"missing", "write_protect", "minor",  "read_write_protect", "quick", "filled",
	"ahead",   "removed",	    "evicted"};

/* ---- bands: what is worth showing of an address space
 */

struct block {
	uint64_t at;
	uint32_t touched;
};

static int by_address(const void *a, const void *b)
{
	const struct block *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

static int by_touched(const void *a, const void *b)
{
	const struct heat_band *x = a, *y = b;

	return x->touched > y->touched ? -1 : x->touched < y->touched;
}

static int by_from(const void *a, const void *b)
{
	const struct heat_band *x = a, *y = b;

	return x->from < y->from ? -1 : x->from > y->from;
}

struct bands {
	struct heat_band *band;
	size_t n, room;
};

static void add_band(struct bands *b, struct heat_band band)
{
	if (b->n == b->room) {
		size_t room = b->room ? b->room * 2 : 64;
		struct heat_band *more = realloc(b->band, room * sizeof(*more));

		if (!more)
			return;
		b->band = more;
		b->room = room;
	}
	b->band[b->n++] = band;
}

static struct block *touched_blocks(const struct survey *s, uint32_t process, size_t *n)
{
	struct block *list = calloc(s->touched.n + 1, sizeof(*list));

	*n = 0;
	for (uint32_t i = 0; list && i < s->touched.n; i++)
		if (s->touched.key[i].a == process)
			list[(*n)++] = (struct block){s->touched.key[i].b * BLOCK,
						      *(uint32_t *)table_item(&s->touched, i)};
	if (list)
		qsort(list, *n, sizeof(*list), by_address);
	return list;
}

/* A range in one piece, or in several when most of it is empty. */
static void cut_range(struct bands *out, const struct span *span, const struct block *block,
		      size_t n)
{
	uint64_t size = span->to - span->from, gap = size / 8 > 32 * BLOCK ? size / 8 : 32 * BLOCK;
	struct heat_band band = {.from = span->from, .registered = true};
	uint64_t last = span->from;

	if (size <= 1ull << 30)
		gap = UINT64_MAX;
	for (size_t i = 0; i < n; i++) {
		uint64_t at = block[i].at > span->from ? block[i].at : span->from;

		if (block[i].at >= span->to || block[i].at + BLOCK <= span->from)
			continue;
		if (at > last && at - last > gap) {
			band.to = last;
			if (band.touched)
				add_band(out, band);
			band = (struct heat_band){.from = at, .registered = true};
		}
		last = block[i].at + BLOCK < span->to ? block[i].at + BLOCK : span->to;
		band.touched += block[i].touched;
	}
	band.to = span->to - last > gap && band.touched ? last : span->to;
	add_band(out, band);
}

/* What was touched though no record says that it was registered. */
static void add_strangers(struct bands *out, const struct spans *ranges, const struct block *block,
			  size_t n)
{
	struct heat_band band = {0};

	for (size_t i = 0; i < n; i++) {
		uint64_t at = block[i].at, end = at + BLOCK;
		bool known = false;

		for (uint32_t r = 0; r < ranges->n && !known; r++)
			known = ranges->span[r].from < end && ranges->span[r].to > at;
		if (known)
			continue;
		if (band.touched && at - band.to > 16 * BLOCK) {
			add_band(out, band);
			band = (struct heat_band){0};
		}
		if (!band.touched)
			band.from = at;
		band.to = end;
		band.touched += block[i].touched;
	}
	if (band.touched)
		add_band(out, band);
}

/* Small and often-touched bands get their share of rows, too. */
static void give_rows(struct heat_map *m, uint64_t page)
{
	double sum = 0, weight[HEAT_BANDS];
	uint32_t row = 0;

	for (uint32_t i = 0; i < m->nbands; i++) {
		double pages = (double)(m->band[i].to - m->band[i].from) / (double)page;

		weight[i] = sqrt(pages);
		sum += weight[i];
	}
	for (uint32_t i = 0; i < m->nbands; i++) {
		struct heat_band *b = &m->band[i];
		uint64_t pages = (b->to - b->from + page - 1) / page;
		uint32_t rows = (uint32_t)(weight[i] / sum * (HEAT_ROWS - 3.0 * m->nbands)) + 3;

		b->row = row;
		b->rows = rows < pages ? rows : (uint32_t)pages;
		row += b->rows;
	}
	m->rows = row;
}

static bool make_map(struct heat_map *m, const struct survey *s, const struct process *p)
{
	struct bands all = {0};
	struct block *block;
	size_t n;

	m->process = p->number;
	block = touched_blocks(s, p->number, &n);
	for (uint32_t i = 0; block && i < p->ranges.n; i++)
		cut_range(&all, &p->ranges.span[i], block, n);
	if (block)
		add_strangers(&all, &p->ranges, block, n);
	free(block);
	if (all.n)
		qsort(all.band, all.n, sizeof(*all.band), by_touched);
	m->nbands = all.n < HEAT_BANDS ? (uint32_t)all.n : HEAT_BANDS;
	if (m->nbands) {
		memcpy(m->band, all.band, m->nbands * sizeof(*m->band));
		qsort(m->band, m->nbands, sizeof(*m->band), by_from);
		give_rows(m, s->page);
	}
	free(all.band);
	m->cell = calloc((size_t)HEAT_LAYERS * (m->rows ? m->rows : 1), sizeof(*m->cell));
	return m->cell;
}

bool heat_init(struct heat *h, const struct survey *s)
{
	uint32_t *order = processes_by_weight(s);

	*h = (struct heat){0};
	if (!order)
		return false;
	for (uint32_t i = 0; i < s->processes.n; i++) {
		const struct process *p = table_item(&s->processes, order[i]);

		if (!p->weight)
			break;
		h->processes++;
		if (h->n < HEAT_MAPS && !make_map(&h->map[h->n++], s, p)) {
			free(order);
			return false;
		}
	}
	free(order);
	return true;
}

void heat_free(struct heat *h)
{
	for (uint32_t i = 0; i < h->n; i++)
		free(h->map[i].cell);
}

struct heat_map *heat_of(struct heat *h, uint32_t process)
{
	for (uint32_t i = 0; i < h->n; i++)
		if (h->map[i].process == process)
			return &h->map[i];
	return NULL;
}

/* ---- what happened
 */

static unsigned layer_of(const struct trace_record *r)
{
	unsigned why = r->flags & TRACE_WHY;

	switch (record_kind(r)) {
	case TRACE_FAULT:
		return why < HANDLED ? why : HEAT_QUICK;
	case TRACE_FILL:
		return r->flags & TRACE_FAILED	? HEAT_LAYERS
		       : r->flags & TRACE_AHEAD ? HEAT_AHEAD
						: HEAT_FILLED;
	case TRACE_REMOVE:
		return HEAT_REMOVED;
	case TRACE_EVICT:
		return HEAT_EVICTED;
	default:
		return HEAT_LAYERS;
	}
}

/* The address where row n of the band begins. */
static uint64_t row_begin(const struct heat_band *b, uint32_t n)
{
	return b->from + (uint64_t)((__uint128_t)(b->to - b->from) * n / b->rows);
}

static uint32_t row_at(const struct heat_band *b, uint64_t addr)
{
	uint32_t row = (uint32_t)((__uint128_t)(addr - b->from) * b->rows / (b->to - b->from));

	while (row + 1 < b->rows && row_begin(b, row + 1) <= addr)
		row++;
	return row;
}

static uint64_t add_to_band(struct heat_map *m, const struct heat_band *b, unsigned layer,
			    unsigned bin, uint64_t from, uint64_t to, uint64_t page)
{
	uint32_t row;

	from = from > b->from ? from : b->from;
	to = to < b->to ? to : b->to;
	if (from >= to)
		return 0;
	for (row = row_at(b, from); row < b->rows; row++) {
		uint64_t low = row_begin(b, row), high = row_begin(b, row + 1), pages;
		uint32_t *cell = &m->cell[layer * m->rows + b->row + row][bin];

		if (low >= to)
			break;
		low = low > from ? low : from;
		high = high < to ? high : to;
		pages = (high - low + page - 1) / page;
		*cell = *cell + pages < UINT32_MAX ? (uint32_t)(*cell + pages) : UINT32_MAX;
	}
	return to - from;
}

void heat_add(struct heat *h, const struct survey *s, const struct trace_record *r, unsigned bin)
{
	struct heat_map *m = heat_of(h, r->process);
	unsigned layer = layer_of(r);
	uint64_t len = layer < HEAT_FILLED ? 1 : r->arg, found = 0;

	if (!m || layer == HEAT_LAYERS || len == 0 || len > UINT64_MAX - r->addr)
		return;
	for (uint32_t i = 0; i < m->nbands; i++)
		found += add_to_band(m, &m->band[i], layer, bin, r->addr, r->addr + len, s->page);
	if (!found)
		m->elsewhere++;
}
