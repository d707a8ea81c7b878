/*
 * figures.c - the second pass over a trace: what is counted.
 */
#include "eyes/eyes.h"

#include <stdlib.h>
#include <string.h>

#define SITES	65536u
#define SOURCES 64u

/* The slowest WAITS faults: a heap whose first is the quickest of them. */
static void keep_wait(struct figures *f, const struct trace_record *r)
{
	uint32_t i = 0, child;

	if (f->nwaits < WAITS) {
		i = f->nwaits++;
		for (; i && f->wait[(i - 1) / 2].fault.value > r->value; i = (i - 1) / 2)
			f->wait[i] = f->wait[(i - 1) / 2];
	} else if (r->value > f->wait[0].fault.value) {
		for (; (child = 2 * i + 1) < WAITS; i = child) {
			if (child + 1 < WAITS &&
			    f->wait[child + 1].fault.value < f->wait[child].fault.value)
				child++;
			if (f->wait[child].fault.value >= r->value)
				break;
			f->wait[i] = f->wait[child];
		}
	} else {
		return;
	}
	f->wait[i] = (struct wait){.fault = *r};
}

static struct range_figures *range_of(struct figures *f, uint32_t process, uint64_t addr)
{
	const struct process *p = table_find(&f->survey->processes, process, 0);
	const struct span *span = p ? spans_find(&p->ranges, addr) : NULL;
	struct range_figures *r;

	if (!span)
		return NULL;
	r = table_at(&f->ranges, process, span->from);
	if (r) {
		r->process = process;
		r->span = *span;
		r->pages = (span->to - span->from) / f->survey->page;
	}
	return r;
}

static void count_handled(struct figures *f, const struct trace_record *r, struct bin *bin,
			  struct thread *t, struct site *site)
{
	latency_add(&f->all, r->value);
	bin->latency[bucket_of(r->value, MEDIUM_BITS)]++;
	if (r->value > bin->max)
		bin->max = r->value;
	if (t)
		coarse_add(&t->waits, r->value);
	if (site)
		coarse_add(&site->waits, r->value);
	keep_wait(f, r);
}

static void count_fault(struct figures *f, const struct trace_record *r, struct bin *bin)
{
	struct survey *s = f->survey;
	unsigned why = r->flags & TRACE_WHY;
	struct thread *t = table_at(&s->threads, r->process, r->thread);
	struct site *site = r->arg ? table_at(&f->sites, r->process, r->arg) : NULL;
	struct range_figures *range = range_of(f, r->process, r->addr);

	if (why >= WHYS) {
		s->unknown++;
		return;
	}
	f->faults++;
	f->handled += why < HANDLED;
	f->by_why[why]++;
	f->writes += !!(r->flags & TRACE_WRITE);
	f->in_kernel += !!(r->flags & TRACE_KERNEL);
	f->signalled += !!(r->flags & TRACE_SIGNALLED);
	f->retried += !!(r->flags & TRACE_RETRIED);
	bin->by_why[why]++;
	if (t) {
		t->process = r->process;
		t->tid = r->thread;
		t->by_why[why]++;
	}
	if (site) {
		site->process = r->process;
		site->ip = r->arg;
		site->by_why[why]++;
	} else if (r->arg) {
		f->sites_left_out++;
	}
	if (range)
		range->by_why[why]++;
	if (r->flags & TRACE_RETRIED)
		return;
	latency_add(&f->kind[why], r->value);
	if (why < HANDLED)
		count_handled(f, r, bin, t, site);
}

static uint64_t pages_of(const struct figures *f, const struct trace_record *r)
{
	return r->arg / f->survey->page + !!(r->arg % f->survey->page);
}

static void count_fill(struct figures *f, const struct trace_record *r, struct bin *bin)
{
	struct thread *t =
		r->thread ? table_find(&f->survey->threads, r->process, r->thread) : NULL;
	struct range_figures *range = range_of(f, r->process, r->addr);
	unsigned how = r->flags & 0xf;
	uint64_t pages = pages_of(f, r);

	if (how > TRACE_POISON) {
		f->survey->unknown++;
		return;
	}
	if (r->flags & TRACE_FAILED) {
		f->failed_fills++;
		return;
	}
	f->fills[how]++;
	f->filled_pages[how] += pages;
	f->filled_bytes += r->arg;
	if (t)
		t->fills++;
	if (range)
		range->filled += pages;
	if (r->flags & TRACE_AHEAD) {
		f->ahead_pages += pages;
		bin->ahead_pages += pages;
	} else {
		f->demand_pages += pages;
		bin->demand_pages += pages;
		latency_add(&f->fill, r->value);
	}
}

static void count_fetch(struct figures *f, const struct trace_record *r, struct bin *bin)
{
	struct source_figures *s = table_at(&f->sources, r->thread, 0);
	bool ahead = r->flags & TRACE_AHEAD;

	f->fetches++;
	if (s)
		s->number = r->thread;
	if (r->flags & TRACE_FAILED) {
		f->fetch_failed++;
		if (s)
			s->failed++;
		return;
	}
	f->fetched_bytes += r->arg;
	latency_add(&f->fetch, r->value);
	if (ahead) {
		f->fetched_ahead += r->arg;
		bin->ahead_bytes += r->arg;
	} else {
		bin->demand_bytes += r->arg;
	}
	if (!s)
		return;
	coarse_add(&s->latency, r->value);
	*(ahead ? &s->ahead : &s->demand) += 1;
	*(ahead ? &s->ahead_bytes : &s->demand_bytes) += r->arg;
}

static void count_leaving(struct figures *f, const struct trace_record *r, struct bin *bin)
{
	struct range_figures *range = range_of(f, r->process, r->addr);
	uint64_t pages = pages_of(f, r);

	if (record_kind(r) == TRACE_REMOVE) {
		f->removes++;
		f->removed_pages += pages;
		bin->removed += pages;
		if (range)
			range->removed += pages;
	} else {
		f->evicts++;
		f->evicted_pages += pages;
		bin->evicted += pages;
		if (range)
			range->evicted += pages;
	}
}

static void count(struct figures *f, const struct trace_record *r, struct bin *bin)
{
	struct thread *t;

	switch (record_kind(r)) {
	case TRACE_FAULT:
		count_fault(f, r, bin);
		break;
	case TRACE_MESSAGE:
		t = table_find(&f->survey->threads, r->process, r->thread);
		if (t)
			t->messages++;
		latency_add(&f->message, r->value);
		break;
	case TRACE_FILL:
		count_fill(f, r, bin);
		break;
	case TRACE_WAKE:
		f->wakes++;
		break;
	case TRACE_PROTECT:
		*(r->flags & TRACE_LIFTED ? &f->lifts : &f->protects) += 1;
		break;
	case TRACE_REMOVE:
	case TRACE_EVICT:
		count_leaving(f, r, bin);
		break;
	case TRACE_FETCH:
		count_fetch(f, r, bin);
		break;
	}
}

/* The states at the end of each bin: of the last record in it, and so of all that follow without
 * any. */
static void note_states(struct figures *f, unsigned bin)
{
	for (unsigned is = 0; is < PAGE_IS_MAX; is++) {
		f->bin[bin].is[is] = page_count(&f->pages, &f->pages.all, is);
		for (uint32_t i = 0; i < f->heat.n; i++) {
			struct heat_map *m = &f->heat.map[i];
			struct page_counts *c = table_find(&f->pages.counts, m->process, 0);

			m->is[is][bin] = c ? page_count(&f->pages, c, is) : 0;
		}
	}
}

static void hottest_pages(struct figures *f)
{
	const struct table *chunks = &f->pages.chunks;

	for (uint32_t i = 0; i < chunks->n; i++) {
		const struct page_chunk *chunk = table_item(chunks, i);
		uint32_t process = (uint32_t)chunks->key[i].a;
		uint64_t first = chunks->key[i].b * CHUNK_PAGES;

		for (unsigned n = 0; n < CHUNK_PAGES; n++) {
			struct hot_page p = {process, (first + n) * f->pages.size,
					     chunk->faults[n]};
			struct range_figures *range;
			uint32_t at = f->nhot;

			if (!p.faults)
				continue;
			f->distinct_pages++;
			range = range_of(f, process, p.addr);
			if (range)
				range->touched++;
			if (at == HOT_PAGES && f->hot[--at].faults >= p.faults)
				continue;
			for (; at && f->hot[at - 1].faults < p.faults; at--)
				f->hot[at] = f->hot[at - 1];
			f->hot[at] = p;
			f->nhot += f->nhot < HOT_PAGES;
		}
	}
}

static int by_length(const void *a, const void *b)
{
	const struct wait *x = a, *y = b;

	if (x->fault.value != y->fault.value)
		return x->fault.value > y->fault.value ? -1 : 1;
	return x->fault.time < y->fault.time ? -1 : x->fault.time > y->fault.time;
}

static void second_pass(struct figures *f)
{
	const struct trace_record *r;
	unsigned bin = 0;

	reader_rewind(f->survey->reader);
	while ((r = reader_next(f->survey->reader))) {
		unsigned kind = record_kind(r), now;

		if (kind < TRACE_RANGE || kind >= TRACE_KINDS)
			continue;
		if (kind > TRACE_UNRANGE) {
			now = (unsigned)(survey_when(f->survey, r->time) / f->bin_ns);
			now = now < BINS ? now : BINS - 1;
			count(f, r, &f->bin[now]);
			heat_add(&f->heat, f->survey, r, now);
			while (bin < now)
				note_states(f, bin++);
		}
		pages_apply(&f->pages, r);
	}
	while (bin < BINS)
		note_states(f, bin++);
}

bool figures_make(struct figures *f, struct survey *s)
{
	*f = (struct figures){.survey = s, .span = s->end - s->begin};
	f->bin_ns = f->span / BINS + 1;
	table_init(&f->sites, sizeof(struct site), SITES);
	table_init(&f->sources, sizeof(struct source_figures), SOURCES);
	table_init(&f->ranges, sizeof(struct range_figures), RANGES);
	pages_init(&f->pages, s->page);
	f->bin = calloc(BINS, sizeof(*f->bin));
	if (!f->bin || !heat_init(&f->heat, s))
		return false;
	second_pass(f);
	hottest_pages(f);
	qsort(f->wait, f->nwaits, sizeof(*f->wait), by_length);
	waits_explain(f);
	if (!places_make(f))
		return false;
	notes_make(f);
	return true;
}

void figures_free(struct figures *f)
{
	heat_free(&f->heat);
	pages_free(&f->pages);
	table_free(&f->sites);
	table_free(&f->sources);
	table_free(&f->ranges);
	free(f->place);
	free(f->bin);
}

/* ---- orders
 */

struct weighed {
	uint64_t weight;
	uint32_t index;
};

static int heaviest(const void *a, const void *b)
{
	const struct weighed *x = a, *y = b;

	if (x->weight != y->weight)
		return x->weight > y->weight ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static uint32_t *order_of(struct weighed *w, uint32_t n)
{
	uint32_t *order = malloc((n + 1) * sizeof(*order));

	qsort(w, n, sizeof(*w), heaviest);
	for (uint32_t i = 0; order && i < n; i++)
		order[i] = w[i].index;
	free(w);
	return order;
}

uint32_t *processes_by_weight(const struct survey *s)
{
	struct weighed *w = malloc((s->processes.n + 1) * sizeof(*w));

	for (uint32_t i = 0; w && i < s->processes.n; i++)
		w[i] = (struct weighed){((struct process *)table_item(&s->processes, i))->weight,
					i};
	return w ? order_of(w, s->processes.n) : NULL;
}

uint32_t *threads_by_wait(const struct figures *f)
{
	const struct table *threads = &f->survey->threads;
	struct weighed *w = malloc((threads->n + 1) * sizeof(*w));

	for (uint32_t i = 0; w && i < threads->n; i++)
		w[i] = (struct weighed){((struct thread *)table_item(threads, i))->waits.sum, i};
	return w ? order_of(w, threads->n) : NULL;
}
