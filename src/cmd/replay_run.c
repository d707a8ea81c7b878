/*
 * replay_run.c - recorded accesses played to a replacement policy, and to foresight.
 *
 * Each process has a memory of its own. The hand goes over its pages as it does in a space
 * (mm/reclaim.c), and overrules the policy after as many turns.
 */
#include "replay.h"

#include <stdlib.h>

#define TURNS_POLICY 3

/* ---- A policy ----------------------------------------------------------------------------------
 */

struct page {
	bool resident, open, referenced, dirty;
	uint8_t mark;
};

struct memory {
	struct page *page;
	uint32_t first, end, hand; /* pages of the process */
	uint64_t resident;
	struct mm_policy_state state;
	struct replayed *out;
};

static void evict(struct memory *m, struct page *p)
{
	mm_policy_leave(&m->state, &p->mark);
	m->out->evictions++;
	m->out->writebacks += p->dirty;
	p->resident = p->open = p->referenced = p->dirty = false;
	m->resident--;
}

static void step(struct memory *m, const struct page *keep, unsigned *turns)
{
	struct page *p = &m->page[m->hand];
	enum mm_verdict verdict = MM_LEAVE;

	if (p->resident && p != keep) {
		if (*turns < TURNS_POLICY)
			verdict = mm_policy_look(&m->state, &p->mark, p->referenced);
		if (verdict == MM_PROBE) {
			p->referenced = p->open = false;
			m->out->probes++;
		} else if (verdict == MM_LEAVE) {
			evict(m, p);
		}
	}
	if (++m->hand == m->end) {
		m->hand = m->first;
		mm_policy_turn(&m->state);
		++*turns;
	}
}

static void make_room(struct memory *m, const struct page *last)
{
	unsigned turns = 0;

	/* The turn begins where the hand is; the first, cut short, is none. */
	while (m->resident >= m->state.limit)
		step(m, m->state.limit > 1 ? last : NULL, &turns);
}

static void touch(struct memory *m, struct page *p, const struct page *last, bool write)
{
	m->out->accesses++;
	if (!p->resident) {
		make_room(m, last);
		m->out->faults++;
		p->resident = true;
		m->resident++;
	} else if (!p->open) {
		m->out->traps++;
	}
	p->open = p->referenced = true;
	p->dirty |= write;
}

/* Which process a page is of; accesses of one come in a row, mostly. */
static uint32_t space_of(const struct trace *t, uint32_t page, uint32_t guess)
{
	if (t->space[guess] <= page && page < t->space[guess + 1])
		return guess;
	guess = 0;
	while (t->space[guess + 1] <= page)
		guess++;
	return guess;
}

bool replay_policy(const struct trace *t, const struct mm_policy *policy, uint64_t limit,
		   struct replayed *out)
{
	struct page *page = calloc(t->npages, sizeof(*page)), *last = NULL;
	struct memory *memory = calloc(t->nspaces, sizeof(*memory));
	uint32_t s = 0;

	*out = (struct replayed){0};
	if (!page || !memory) {
		free(page);
		free(memory);
		return false;
	}
	for (uint32_t i = 0; i < t->nspaces; i++) {
		memory[i] = (struct memory){.page = page,
					    .first = t->space[i],
					    .hand = t->space[i],
					    .end = t->space[i + 1],
					    .out = out};
		mm_policy_start(&memory[i].state, policy, limit);
	}
	for (uint64_t i = 0; i < t->count; i++) {
		uint32_t n = t->page[i] >> 1;

		s = space_of(t, n, s);
		touch(&memory[s], &page[n], last, t->page[i] & 1);
		last = &page[n];
	}
	free(page);
	free(memory);
	return true;
}

/* ---- Foresight: what is accessed again last leaves ---------------------------------------------
 */

#define NEVER UINT64_MAX

/* A page in memory, and its next access; what has been overtaken stays in the heap and is skipped.
 */
struct due {
	uint64_t next;
	uint32_t page;
};

struct heap {
	struct due *due;
	uint64_t count;
};

static void heap_push(struct heap *h, struct due d)
{
	uint64_t i = h->count++;

	for (; i > 0 && h->due[(i - 1) / 2].next < d.next; i = (i - 1) / 2)
		h->due[i] = h->due[(i - 1) / 2];
	h->due[i] = d;
}

static struct due heap_pop(struct heap *h)
{
	struct due top = h->due[0], d = h->due[--h->count];
	uint64_t i = 0, child;

	for (; (child = 2 * i + 1) < h->count; i = child) {
		if (child + 1 < h->count && h->due[child + 1].next > h->due[child].next)
			child++;
		if (h->due[child].next <= d.next)
			break;
		h->due[i] = h->due[child];
	}
	h->due[i] = d;
	return top;
}

struct foresight {
	uint64_t *next;	  /* of each access: the next one to the same page */
	uint64_t *expect; /* of each page in memory: its next access; 0: not in memory */
	bool *dirty;
	struct heap *heap; /* of each process */
	uint64_t *resident;
	struct due *due;
};

static bool foresee(const struct trace *t, struct foresight *f)
{
	uint64_t *at = calloc(t->npages, sizeof(*at));
	uint64_t *accesses = calloc(t->nspaces + 1, sizeof(*accesses));
	uint32_t s = 0;

	if (!at || !accesses) {
		free(at);
		free(accesses);
		return false;
	}
	for (uint64_t i = t->count; i-- > 0;) {
		uint32_t n = t->page[i] >> 1;

		s = space_of(t, n, s);
		accesses[s]++;
		f->next[i] = at[n] ? at[n] : NEVER;
		at[n] = i + 1;
	}
	/* The heaps lie in one array: each access is pushed once. */
	for (uint64_t from = 0, i = 0; i < t->nspaces; from += accesses[i++])
		f->heap[i].due = f->due + from;
	free(at);
	free(accesses);
	return true;
}

static void foresight_free(struct foresight *f)
{
	free(f->next);
	free(f->expect);
	free(f->dirty);
	free(f->heap);
	free(f->resident);
	free(f->due);
}

static void leave_last(struct foresight *f, uint32_t s, struct replayed *out)
{
	struct due d;

	do
		d = heap_pop(&f->heap[s]);
	while (f->expect[d.page] != d.next);
	f->expect[d.page] = 0;
	f->resident[s]--;
	out->evictions++;
	out->writebacks += f->dirty[d.page];
	f->dirty[d.page] = false;
}

bool replay_best(const struct trace *t, uint64_t limit, struct replayed *out)
{
	struct foresight f = {
		.next = calloc(t->count, sizeof(*f.next)),
		.expect = calloc(t->npages, sizeof(*f.expect)),
		.dirty = calloc(t->npages, sizeof(*f.dirty)),
		.heap = calloc(t->nspaces, sizeof(*f.heap)),
		.resident = calloc(t->nspaces, sizeof(*f.resident)),
		.due = calloc(t->count, sizeof(*f.due)),
	};
	bool good =
		f.next && f.expect && f.dirty && f.heap && f.resident && f.due && foresee(t, &f);
	uint32_t s = 0;

	*out = (struct replayed){.accesses = t->count};
	for (uint64_t i = 0; good && i < t->count; i++) {
		uint32_t n = t->page[i] >> 1;

		s = space_of(t, n, s);
		if (!f.expect[n]) {
			if (f.resident[s] >= limit)
				leave_last(&f, s, out);
			f.resident[s]++;
			out->faults++;
		}
		f.expect[n] = f.next[i];
		f.dirty[n] |= t->page[i] & 1;
		heap_push(&f.heap[s], (struct due){f.next[i], n});
	}
	foresight_free(&f);
	return good;
}
