/*
 * page.c - the states of pages, and who waits for which. Nothing else changes either.
 */
#include <stdlib.h>

#include "pager/internal.h"

enum page_state page_state(const struct guest *g, uint64_t page)
{
	return g->states[page] & PAGE_STATE_MASK;
}

bool page_has(const struct guest *g, uint64_t page, unsigned flag)
{
	return (g->states[page] & flag) != 0;
}

uint64_t page_missing_run(const struct guest *g, uint64_t page, uint64_t end)
{
	uint64_t at = page;

	while (at < end && (g->states[at] & PAGE_STATE_MASK) == PAGE_MISSING)
		at++;
	return at - page;
}

static void set_state(struct guest *g, uint64_t page, enum page_state state)
{
	g->states[page] = (uint8_t)((g->states[page] & ~PAGE_STATE_MASK) | state);
}

static bool is_here(uint8_t s)
{
	return (s & PAGE_STATE_MASK) == PAGE_PRESENT || (s & PAGE_HERE);
}

void page_fetching(struct guest *g, uint64_t page, uint64_t n)
{
	for (uint64_t i = page; i < page + n; i++)
		set_state(g, i, PAGE_FETCHING);
}

void page_canceled(struct guest *g, uint64_t page, uint64_t n)
{
	for (uint64_t i = page; i < page + n; i++) {
		if (page_state(g, i) == PAGE_FETCHING)
			set_state(g, i, PAGE_MISSING);
	}
}

uint64_t page_filled(struct guest *g, uint64_t page, uint64_t n)
{
	uint64_t fresh = 0;

	for (uint64_t i = page; i < page + n; i++) {
		uint8_t s = g->states[i];

		if (is_here(s))
			continue;
		fresh++;
		if ((s & PAGE_STATE_MASK) == PAGE_REMOVED)
			g->states[i] = s | PAGE_HERE;
		else
			set_state(g, i, PAGE_PRESENT);
	}
	bump(&g->f->resident, (int64_t)fresh);
	return fresh;
}

void page_removed(struct guest *g, uint64_t page, uint64_t n)
{
	uint64_t were = 0;

	for (uint64_t i = page; i < page + n; i++) {
		uint8_t s = g->states[i];

		were += is_here(s);
		if ((s & PAGE_STATE_MASK) == PAGE_EVICTED)
			evict_forget(g, i);
		g->states[i] = (uint8_t)(PAGE_REMOVED | (s & PAGE_WAITED));
	}
	bump(&g->f->resident, -(int64_t)were);
	count(g, GUEST_REMOVED, n);
}

void page_lost(struct guest *g, uint64_t page)
{
	if (is_here(g->states[page]))
		bump(&g->f->resident, -1);
	g->states[page] = (uint8_t)(PAGE_MISSING | (g->states[page] & (PAGE_WAITED | PAGE_DIRTY)));
}

void page_failed(struct guest *g, uint64_t page)
{
	set_state(g, page, PAGE_FAILED);
	count(g, GUEST_FAILED, 1);
}

void page_evicted(struct guest *g, uint64_t page, bool saved)
{
	uint8_t s = g->states[page];
	enum page_state state = PAGE_MISSING;

	if (saved)
		state = PAGE_EVICTED;
	else if ((s & PAGE_STATE_MASK) == PAGE_REMOVED)
		state = PAGE_REMOVED;
	/* USED: should it come back, it was wanted more than once. */
	g->states[page] = (uint8_t)((s & PAGE_WAITED) | PAGE_USED | state);
	bump(&g->f->resident, -1);
}

void page_flag(struct guest *g, uint64_t page, unsigned set, unsigned clear)
{
	g->states[page] = (uint8_t)((g->states[page] & ~clear) | set);
}

void page_settle(struct guest *g)
{
	uint64_t here = 0;

	for (uint64_t i = 0; i < g->f->npages; i++) {
		uint8_t s = g->states[i];
		enum page_state state = s & PAGE_STATE_MASK;

		if (!s)
			continue;
		if (state == PAGE_FETCHING || state == PAGE_EVICTED || state >= PAGE_STATES)
			state = PAGE_MISSING;
		s = (uint8_t)(state | (state == PAGE_REMOVED ? s & PAGE_HERE : 0));
		here += is_here(s);
		g->states[i] = s;
	}
	atomic_store(&g->f->resident, here);
}

/* ---- waiters
 */

#define WAITERS_A_PAGE 64u

static struct waiter **bucket(struct guest *g, uint64_t page)
{
	return &g->waiters[page % WAITER_HASH];
}

/* The shared copy, for others to look at; there are fewer places than there may be waiters. */
static void waiter_show(struct guest *g, struct waiter *w)
{
	w->slot = GUEST_WAITERS;
	for (uint32_t i = 0; i < GUEST_WAITERS; i++) {
		struct guest_waiter *s = &g->f->waiter[i];

		if (s->addr)
			continue;
		s->since = w->since;
		s->thread = w->thread;
		s->tries = w->tries;
		s->addr = w->addr;
		w->slot = i;
		return;
	}
}

static void waiter_drop(struct guest *g, struct waiter *w)
{
	if (w->slot < GUEST_WAITERS)
		g->f->waiter[w->slot].addr = 0;
	atomic_store_explicit(&g->f->waiting,
			      atomic_load_explicit(&g->f->waiting, memory_order_relaxed) - 1,
			      memory_order_relaxed);
	free(w);
}

void waiter_add(struct guest *g, uint64_t page, uint64_t addr, uint32_t thread, uint16_t flags)
{
	unsigned same = 0;
	struct waiter *w;

	for (w = *bucket(g, page); w; w = w->next) {
		if (w->page != page)
			continue;
		/* A signal's handler ran, and it asks again; or there are more than help to know.
		 */
		if ((thread && w->thread == thread) || ++same >= WAITERS_A_PAGE) {
			w->tries++;
			if (w->slot < GUEST_WAITERS)
				g->f->waiter[w->slot].tries = w->tries;
			return;
		}
	}
	page_flag(g, page, PAGE_WAITED, 0);
	w = malloc(sizeof(*w));
	if (!w)
		return; /* it is answered all the same */
	*w = (struct waiter){.next = *bucket(g, page),
			     .page = page,
			     .addr = addr,
			     .since = now_ns(),
			     .thread = thread,
			     .flags = flags};
	*bucket(g, page) = w;
	waiter_show(g, w);
	atomic_store_explicit(&g->f->waiting,
			      atomic_load_explicit(&g->f->waiting, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

uint64_t waiter_since(struct guest *g, uint64_t page)
{
	uint64_t since = 0;

	for (struct waiter *w = *bucket(g, page); w; w = w->next) {
		if (w->page == page && (!since || w->since < since))
			since = w->since;
	}
	return since;
}

void waiter_done(struct guest *g, uint64_t page)
{
	uint64_t now = 0;

	if (!page_has(g, page, PAGE_WAITED))
		return;
	page_flag(g, page, 0, PAGE_WAITED);
	for (struct waiter **at = bucket(g, page), *w; (w = *at) != NULL;) {
		if (w->page != page) {
			at = &w->next;
			continue;
		}
		now = now ? now : now_ns();
		histogram_add(&g->f->latency, now - w->since);
		report(g->e, TRACE_FAULT, g->f->number, w->thread, w->since, w->addr, 0,
		       now - w->since, w->flags);
		*at = w->next;
		waiter_drop(g, w);
	}
}

void waiter_retry(struct guest *g, uint64_t page, uint64_t n)
{
	if (!atomic_load_explicit(&g->f->waiting, memory_order_relaxed))
		return;
	for (unsigned b = 0; b < WAITER_HASH; b++) {
		for (struct waiter *w = g->waiters[b]; w; w = w->next) {
			if (w->page - page < n)
				guest_park_pages(g, w->page, 1, 0);
		}
	}
}

void waiter_forget(struct guest *g, uint64_t page, uint64_t n)
{
	if (!atomic_load_explicit(&g->f->waiting, memory_order_relaxed))
		return;
	for (unsigned b = 0; b < WAITER_HASH; b++) {
		for (struct waiter **at = &g->waiters[b], *w; (w = *at) != NULL;) {
			if (w->page - page >= n) {
				at = &w->next;
				continue;
			}
			page_flag(g, w->page, 0, PAGE_WAITED);
			*at = w->next;
			waiter_drop(g, w);
		}
	}
}

void waiter_free(struct guest *g)
{
	for (unsigned b = 0; b < WAITER_HASH; b++) {
		while (g->waiters[b]) {
			struct waiter *w = g->waiters[b];

			g->waiters[b] = w->next;
			waiter_drop(g, w);
		}
	}
}
