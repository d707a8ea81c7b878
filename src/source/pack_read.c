/*
 * pack_read.c - a source read from one end to the other, or in a recorded order, with so many
 * requests under way as it likes.
 */
#include "pack.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#define RING_MOST 64u
#define TRIES	  6u

/* ---- what to read
 */

int pack_plan_new(struct pack_plan *p, uint64_t size, const struct order *order)
{
	*p = (struct pack_plan){.order = order, .size = page_round(size)};
	if (!order)
		return 0;
	p->seen = calloc(p->size / SOURCE_PAGE / 64 + 1, sizeof(*p->seen));
	return p->seen ? 0 : -ENOMEM;
}

void pack_plan_free(struct pack_plan *p)
{
	free(p->seen);
}

static bool see(struct pack_plan *p, uint64_t at)
{
	uint64_t page = at / SOURCE_PAGE, bit = UINT64_C(1) << (page % 64);
	bool seen = p->seen[page / 64] & bit;

	p->seen[page / 64] |= bit;
	return seen;
}

/* The last run is all there is, for what was in none before. */
static bool next_run(struct pack_plan *p)
{
	size_t runs = p->order ? p->order->count : 0;

	if (p->run > runs)
		return false;
	p->at = p->run < runs ? p->order->run[p->run].offset : 0;
	p->end = p->run < runs ? p->at + p->order->run[p->run].len : p->size;
	if (p->end > p->size)
		p->end = p->size;
	p->run++;
	return true;
}

bool pack_plan_next(struct pack_plan *p, uint64_t piece, uint64_t *offset, uint64_t *len)
{
	for (;;) {
		while (p->at >= p->end) {
			if (!next_run(p))
				return false;
		}
		*offset = p->at;
		p->at += SOURCE_PAGE;
		if (p->seen && see(p, *offset))
			continue;
		while (p->at < p->end && p->at % piece && !(p->seen && see(p, p->at)))
			p->at += SOURCE_PAGE;
		*len = p->at - *offset;
		if (p->order && p->run <= p->order->count)
			p->ordered += *len / SOURCE_PAGE;
		return true;
	}
}

/* ---- reading it
 */

struct slot {
	struct source_request request;
	struct pack_reader *reader;
	uint64_t offset, len;
	void *buf;
	unsigned tries;
	bool done, zero, waits; /* waits: for fetch to take it */
	int error;
};

struct pack_reader {
	struct source *s;
	struct pack_plan *plan;
	uint64_t piece;
	unsigned size, first, n; /* of slot[], a ring; in use are n from `first` on */
	bool ended, given;	 /* given: the first one's contents are the caller's */
	struct slot slot[];
};

static void done(struct source_request *request, int error)
{
	struct slot *slot = (struct slot *)request;

	slot->done = true;
	slot->error = error;
}

int pack_reader_new(struct source *s, struct pack_plan *plan, uint64_t piece,
		    struct pack_reader **out)
{
	unsigned size = s->depth < RING_MOST ? s->depth + 1 : RING_MOST;
	struct pack_reader *r = calloc(1, sizeof(*r) + size * sizeof(r->slot[0]));

	if (!r)
		return -ENOMEM;
	r->s = s;
	r->plan = plan;
	r->piece = piece;
	r->size = size;
	for (unsigned i = 0; i < size; i++) {
		r->slot[i].reader = r;
		r->slot[i].buf = aligned_alloc(SOURCE_PAGE, piece);
		if (!r->slot[i].buf) {
			pack_reader_free(r);
			return -ENOMEM;
		}
	}
	*out = r;
	return 0;
}

static void wait_for_source(struct pack_reader *r, int ms)
{
	struct pollfd fd = {.fd = r->s->ops->fd(r->s), .events = POLLIN};

	if (poll(&fd, 1, ms) > 0)
		r->s->ops->process(r->s);
}

static void fetch(struct pack_reader *r, struct slot *slot)
{
	int error;

	slot->waits = false;
	slot->done = false;
	slot->request = (struct source_request){.offset = slot->offset,
						.len = (uint32_t)slot->len,
						.ahead = true,
						.buf = slot->buf,
						.done = done};
	error = r->s->ops->fetch(r->s, &slot->request);
	if (error == -EAGAIN)
		slot->waits = true;
	else if (error)
		done(&slot->request, error);
}

void pack_reader_free(struct pack_reader *r)
{
	for (unsigned i = 0; i < r->n; i++) {
		struct slot *slot = &r->slot[(r->first + i) % r->size];

		if (slot->done || slot->waits)
			continue;
		r->s->ops->cancel(r->s, &slot->request);
		while (!slot->done)
			wait_for_source(r, -1);
	}
	for (unsigned i = 0; i < r->size; i++)
		free(r->slot[i].buf);
	free(r);
}

static bool is_hole(struct source *s, uint64_t offset, uint64_t len)
{
	while (len && s->ops->extent) {
		uint64_t n = len;

		if (s->ops->extent(s, offset, &n) != SOURCE_ZERO)
			return false;
		offset += n;
		len -= n;
	}
	return !len;
}

/* As many more as the source takes. */
static void fill_ring(struct pack_reader *r)
{
	for (unsigned i = 0; i < r->n; i++) {
		struct slot *slot = &r->slot[(r->first + i) % r->size];

		if (slot->waits)
			fetch(r, slot);
		if (slot->waits)
			return;
	}
	while (r->n < r->size && !r->ended) {
		struct slot *slot = &r->slot[(r->first + r->n) % r->size];

		if (!pack_plan_next(r->plan, r->piece, &slot->offset, &slot->len)) {
			r->ended = true;
			return;
		}
		r->n++;
		slot->tries = 0;
		slot->error = 0;
		slot->waits = false;
		slot->zero = is_hole(r->s, slot->offset, slot->len);
		slot->done = slot->zero;
		if (!slot->zero)
			fetch(r, slot);
		if (slot->waits)
			return;
	}
}

/* What may be had the next time is asked for again; it takes longer each time. */
static bool again(struct pack_reader *r, struct slot *slot)
{
	double until = pack_now() + 0.05 * (1 << slot->tries);

	if (source_error_lasts(slot->error) || ++slot->tries == TRIES || pack_signal)
		return false;
	if (r->s->ops->repair)
		r->s->ops->repair(r->s);
	for (double left; (left = until - pack_now()) > 0 && !pack_signal;)
		wait_for_source(r, (int)(left * 1000) + 1);
	slot->error = 0;
	fetch(r, slot);
	return true;
}

int pack_reader_next(struct pack_reader *r, uint64_t *offset, uint64_t *len, const void **buf)
{
	struct slot *slot;

	if (r->given) {
		r->given = false;
		r->first = (r->first + 1) % r->size;
		r->n--;
	}
	fill_ring(r);
	if (!r->n)
		return 0;
	slot = &r->slot[r->first];
	while (!slot->done || (slot->error && again(r, slot))) {
		if (pack_signal)
			return -EINTR;
		wait_for_source(r, 100);
		fill_ring(r);
	}
	*offset = slot->offset;
	*len = slot->len;
	*buf = slot->zero ? NULL : slot->buf;
	if (slot->error)
		return slot->error;
	r->given = true;
	return 1;
}
