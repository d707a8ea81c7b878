/* model.c - sets of states, and what operations and sights do to them. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS	     (UF_PAGE_SIZE / sizeof(uint64_t))
#define MAX_OPS	     64
#define MAX_STATES   4096
#define HISTORY	     24
#define STORED	     (1ull << 63) /* a value that the program stored, not a fill's */
#define SLOT_WORD(s) ((s) ? WORDS - 1 : 0)

struct note {
	uint64_t at;
	unsigned thread;
	const char *what;
	uint64_t a, b;
};

struct page {
	struct model_state *states;
	unsigned n, cap;
	unsigned readers, writers; /* accesses under way */
	uint64_t ops;		   /* pending, by bit */
	struct note history[HISTORY];
	unsigned notes;
};

struct model_owner model_owners[256];

static struct page *pages;
static uint64_t npages;
static struct model_op *pending[MAX_OPS];
static struct model_access *accesses[SIM_MAX_THREADS + 1]; /* by thread */
static unsigned most;

static const char *const type_names[] = {
	"copy",	 "zero", "poison",   "wp",	 "unwp",       "rwp",	"unrwp", "zap",
	"unmap", "map",	 "mprotect", "register", "unregister", "close", "move",	 "remap",
};

static void note(struct page *p, const char *what, uint64_t a, uint64_t b)
{
	p->history[p->notes++ % HISTORY] = (struct note){sim_points(), sim_self(), what, a, b};
}

unsigned model_most(void)
{
	return most;
}

const struct model_state *model_guess(uint64_t page)
{
	return &pages[page].states[0];
}

void model_start(uint64_t n)
{
	npages = n;
	most = 0;
	memset(pending, 0, sizeof(pending));
	memset(accesses, 0, sizeof(accesses));
	memset(model_owners, 0, sizeof(model_owners));
	pages = calloc(n, sizeof(*pages));
	for (uint64_t i = 0; i < n; i++) {
		pages[i].cap = 16;
		pages[i].states = calloc(16, sizeof(*pages[i].states));
		pages[i].n = 1;
	}
}

void model_stop(void)
{
	for (uint64_t i = 0; i < npages; i++)
		free(pages[i].states);
	free(pages);
	pages = NULL;
}

/* ---- Saying what went wrong ----------------------------------------------------------------- */

static void print_state(const struct model_state *s)
{
	static const char *const kinds[] = {"empty", "present", "marked", "poison"};

	if (!s->mapped)
		fprintf(stderr, "    hole");
	else
		fprintf(stderr, "    %s%s%s prot %u modes %u owner %u base %u slots %llx %llx",
			kinds[s->kind], s->wp ? " wp" : "", s->rwp ? " rwp" : "", s->prot, s->modes,
			s->owner, s->base, (unsigned long long)s->slot[0],
			(unsigned long long)s->slot[1]);
	fprintf(stderr, " applied %llx\n", (unsigned long long)s->applied);
}

static void print_page(const struct page *p, const struct model_state *states, unsigned n)
{
	unsigned first = p->notes > HISTORY ? p->notes - HISTORY : 0;

	fprintf(stderr, "  what happened to it (point, thread):\n");
	for (unsigned i = first; i < p->notes; i++) {
		const struct note *h = &p->history[i % HISTORY];

		fprintf(stderr, "    %llu %u %s %llx %llx\n", (unsigned long long)h->at, h->thread,
			h->what, (unsigned long long)h->a, (unsigned long long)h->b);
	}
	fprintf(stderr, "  states before:\n");
	for (unsigned i = 0; i < n; i++)
		print_state(&states[i]);
	for (unsigned i = 0; i < MAX_OPS; i++)
		if (p->ops >> i & 1)
			fprintf(stderr, "  pending: bit %u %s\n", i, type_names[pending[i]->type]);
}

void model_explain(uint64_t page)
{
	print_page(&pages[page], pages[page].states, pages[page].n);
}

static _Noreturn void no_state_left(struct page *p, const struct model_state *before, unsigned n,
				    const char *what)
{
	fprintf(stderr, "page %llu: nothing explains: %s\n", (unsigned long long)(p - pages), what);
	print_page(p, before, n);
	sim_fail("the model has no state left");
}

/* ---- Sets ----------------------------------------------------------------------------------- */

static bool add(struct page *p, const struct model_state *s)
{
	for (unsigned i = 0; i < p->n; i++)
		if (memcmp(&p->states[i], s, sizeof(*s)) == 0)
			return false;
	if (p->n == MAX_STATES)
		sim_fail("a page has too many states");
	if (p->n == p->cap) {
		p->cap *= 2;
		p->states = realloc(p->states, p->cap * sizeof(*p->states));
	}
	p->states[p->n++] = *s;
	if (p->n > most)
		most = p->n;
	return true;
}

static void empty_page(struct model_state *s, enum model_kind kind)
{
	s->kind = kind;
	s->wp = s->rwp = 0;
	s->base = 0;
	memset(s->slot, 0, sizeof(s->slot));
}

static void disown(struct model_state *s)
{
	s->owner = s->modes = s->wp = s->rwp = 0;
	if (s->kind == MODEL_MARKED)
		empty_page(s, MODEL_EMPTY);
}

static bool apply_fill(const struct model_op *op, uint64_t i, struct model_state *s)
{
	if (!s->mapped || !s->modes || s->kind == MODEL_PRESENT)
		return false;
	switch (op->type) {
	case MODEL_COPY:
		if (op->wp && !(s->modes & MM_MODE_WP))
			return false;
		empty_page(s, MODEL_PRESENT);
		s->base = op->base + (uint32_t)i;
		s->wp = op->wp;
		return true;
	case MODEL_ZERO:
		if (s->kind != MODEL_EMPTY)
			return false;
		empty_page(s, MODEL_PRESENT);
		return true;
	default:
		if (s->kind != MODEL_EMPTY)
			return false;
		empty_page(s, MODEL_POISON);
		return true;
	}
}

static bool apply_mark(const struct model_op *op, struct model_state *s)
{
	uint8_t mode =
		op->type == MODEL_SET_WP || op->type == MODEL_CLEAR_WP ? MM_MODE_WP : MM_MODE_RWP;

	if (!s->mapped)
		return true;
	if (!(s->modes & mode))
		return false;
	switch (op->type) {
	case MODEL_SET_WP:
		if (s->kind == MODEL_PRESENT)
			s->wp = 1;
		else if (s->kind == MODEL_EMPTY && model_owners[s->owner].marks_empty)
			s->kind = MODEL_MARKED;
		return true;
	case MODEL_CLEAR_WP:
		s->wp = 0;
		if (s->kind == MODEL_MARKED)
			s->kind = MODEL_EMPTY;
		return true;
	case MODEL_SET_RWP:
		if (s->kind == MODEL_PRESENT)
			s->rwp = 1;
		return true;
	default:
		s->rwp = 0;
		return true;
	}
}

static bool apply_register(const struct model_op *op, struct model_state *s)
{
	if (!s->mapped)
		return true;
	if (s->owner && s->owner != op->owner)
		return false;
	if (op->type == MODEL_UNREGISTER) {
		if (s->owner)
			disown(s);
		return true;
	}
	s->owner = op->owner;
	if ((s->modes & op->modes) != op->modes)
		s->modes = op->modes;
	return true;
}

/* What the operation makes of its i-th page in this state; false: it cannot happen to it. */
static bool apply(const struct model_op *op, uint64_t i, struct model_state *s)
{
	switch (op->type) {
	case MODEL_COPY:
	case MODEL_ZERO:
	case MODEL_SET_POISON:
		return apply_fill(op, i, s);
	case MODEL_SET_WP:
	case MODEL_CLEAR_WP:
	case MODEL_SET_RWP:
	case MODEL_CLEAR_RWP:
		return apply_mark(op, s);
	case MODEL_ZAP:
		if (s->mapped)
			empty_page(s, MODEL_EMPTY);
		return true;
	case MODEL_UNMAP:
	case MODEL_MAP:
		empty_page(s, MODEL_EMPTY);
		s->mapped = op->type == MODEL_MAP;
		s->owner = s->modes = 0;
		s->prot = op->type == MODEL_MAP ? op->prot : 0;
		return true;
	case MODEL_PROTECT:
		if (s->mapped)
			s->prot = op->prot;
		return true;
	case MODEL_REGISTER:
	case MODEL_UNREGISTER:
		return apply_register(op, s);
	case MODEL_CLOSE:
		if (s->mapped && s->owner == op->owner)
			disown(s);
		return true;
	case MODEL_MOVE:
	case MODEL_REMAP:
		break;
	}
	return false;
}

/* ---- Pairs: a page goes from one place to another ------------------------------------------- */

static bool is_pair(const struct model_op *op)
{
	return op->type == MODEL_MOVE || op->type == MODEL_REMAP;
}

static bool movable(const struct model_op *op, const struct model_state *src)
{
	if (!src->mapped)
		return false;
	if (op->type == MODEL_REMAP)
		return true;
	return src->kind == MODEL_PRESENT || (op->holes && src->kind == MODEL_EMPTY);
}

/* The state that the source has afterwards. */
static bool leave(const struct model_op *op, struct model_state *src)
{
	if (!movable(op, src))
		return false;
	empty_page(src, MODEL_EMPTY);
	if (op->type == MODEL_MOVE || op->keeps)
		return true;
	src->mapped = src->prot = src->owner = src->modes = 0;
	return true;
}

/* The state that the destination has afterwards, when the source was in src. */
static bool arrive(const struct model_op *op, const struct model_state *src,
		   struct model_state *dst)
{
	uint64_t applied = dst->applied;

	if (!movable(op, src))
		return false;
	if (op->type == MODEL_REMAP) {
		*dst = *src;
		dst->applied = applied;
		if (dst->owner && !model_owners[dst->owner].wants_remap)
			disown(dst);
		return true;
	}
	if (!dst->mapped || dst->owner != op->owner || dst->kind != MODEL_EMPTY)
		return false;
	if (src->kind == MODEL_EMPTY)
		return true;
	dst->kind = MODEL_PRESENT;
	dst->base = src->base;
	memcpy(dst->slot, src->slot, sizeof(dst->slot));
	dst->wp = 0;
	dst->rwp = (dst->modes & MM_MODE_RWP) ? src->rwp : 0;
	return true;
}

/* ---- Closure -------------------------------------------------------------------------------- */

/* What an access under way may do to the page before it comes through. */
static bool touch(const struct page *p, const struct model_state *in, struct model_state *out)
{
	const struct model_owner *o = &model_owners[in->owner];
	bool reads = p->readers && in->prot, writes = p->writers && (in->prot & UF_PROT_WRITE);
	bool absent = in->kind == MODEL_EMPTY || in->kind == MODEL_MARKED;

	*out = *in;
	if (!in->mapped || (!reads && !writes))
		return false;
	if (absent && !(in->modes & MM_MODE_MISSING)) {
		empty_page(out, MODEL_PRESENT);
		out->wp = in->kind == MODEL_MARKED;
		return true;
	}
	if (in->kind == MODEL_PRESENT && in->rwp && o->rwp_async) {
		out->rwp = 0;
		return true;
	}
	if (in->kind == MODEL_PRESENT && in->wp && o->wp_async && writes) {
		out->wp = 0;
		return true;
	}
	return false;
}

static struct page *page_at(uint64_t i)
{
	if (i >= npages)
		sim_fail("page %llu is not in the model", (unsigned long long)i);
	return &pages[i];
}

static bool spread_pair(struct page *p, const struct model_op *op, struct model_state s)
{
	uint64_t bit = 1ull << op->bit, i = (uint64_t)(p - pages);
	struct model_state t = s;
	bool grown = false;
	struct page *src;

	if (i >= op->from && i < op->from + op->n) {
		if (leave(op, &t)) {
			t.applied |= bit;
			grown = add(p, &t);
		}
		return grown;
	}
	src = page_at(op->from + (i - op->page));
	for (unsigned k = 0; k < src->n; k++) {
		if (src->states[k].applied & bit)
			continue;
		t = s;
		if (arrive(op, &src->states[k], &t)) {
			t.applied |= bit;
			grown |= add(p, &t);
		}
	}
	return grown;
}

static bool spread_state(struct page *p, struct model_state s)
{
	struct model_state t;
	bool grown = false;

	if (touch(p, &s, &t))
		grown = add(p, &t);
	for (uint64_t ops = p->ops & ~s.applied; ops; ops &= ops - 1) {
		const struct model_op *op = pending[__builtin_ctzll(ops)];

		if (is_pair(op)) {
			grown |= spread_pair(p, op, s);
			continue;
		}
		t = s;
		if (apply(op, (uint64_t)(p - pages) - op->page, &t)) {
			t.applied |= 1ull << op->bit;
			grown |= add(p, &t);
		}
	}
	return grown;
}

/* Would the access end with SIGBUS in this state? */
static bool ends_with_bus(const struct model_state *s, bool write)
{
	bool present = s->kind == MODEL_PRESENT;

	if (!s->mapped)
		return false;
	if (s->kind == MODEL_POISON)
		return true;
	if (!model_owners[s->owner].sigbus)
		return false;
	return (!present && (s->modes & MM_MODE_MISSING)) ||
	       (present && (s->rwp || (s->wp && write)));
}

/* Could the accesses under way have met a state that ends them with a signal? */
static void allow_signals(const struct page *p)
{
	for (unsigned t = 0; t <= SIM_MAX_THREADS; t++) {
		struct model_access *a = accesses[t];

		if (!a || a->page != (uint64_t)(p - pages))
			continue;
		for (unsigned i = 0; i < p->n; i++) {
			const struct model_state *s = &p->states[i];
			uint32_t need = a->write ? UF_PROT_WRITE : UF_PROT_READ;

			a->could_segv |= !s->mapped || !(s->prot & need);
			a->could_bus |= ends_with_bus(s, a->write);
		}
	}
}

static void spread_page(struct page *p)
{
	bool grown;

	do {
		grown = false;
		for (unsigned i = 0; i < p->n; i++)
			grown |= spread_state(p, p->states[i]);
	} while (grown);
	allow_signals(p);
}

/* The other pages of a page's pending pairs depend on it. */
static void spread(struct page *p)
{
	uint64_t i = (uint64_t)(p - pages);

	spread_page(p);
	for (uint64_t ops = p->ops; ops; ops &= ops - 1) {
		const struct model_op *op = pending[__builtin_ctzll(ops)];

		if (is_pair(op) && i >= op->from && i < op->from + op->n)
			spread_page(page_at(op->page + (i - op->from)));
	}
}

void model_owner_changed(void)
{
	for (uint64_t i = 0; i < npages; i++)
		spread(&pages[i]);
}

/* ---- Striking out --------------------------------------------------------------------------- */

/* Keep the states that the test likes; `what` is what cannot be when none is left. */
static void keep(struct page *p, bool (*test)(const struct model_state *s, const void *arg),
		 const void *arg, const char *what)
{
	struct model_state before[16];
	unsigned had = p->n, shown = had < 16 ? had : 16, n = 0;

	memcpy(before, p->states, shown * sizeof(*before));
	for (unsigned i = 0; i < had; i++)
		if (test(&p->states[i], arg))
			p->states[n++] = p->states[i];
	p->n = n;
	if (!n)
		no_state_left(p, before, shown, what);
}

struct bits {
	uint64_t mask, want;
};

static bool has_bits(const struct model_state *s, const void *arg)
{
	const struct bits *b = arg;

	return (s->applied & b->mask) == b->want;
}

/* A pair has happened on both sides or on neither. */
static void agree(struct page *p)
{
	uint64_t i = (uint64_t)(p - pages);

	for (uint64_t ops = p->ops; ops; ops &= ops - 1) {
		const struct model_op *op = pending[__builtin_ctzll(ops)];
		uint64_t bit = 1ull << op->bit, all = bit, any = 0;
		struct page *other;

		if (!is_pair(op))
			continue;
		other = i >= op->from && i < op->from + op->n ? page_at(op->page + (i - op->from))
							      : page_at(op->from + (i - op->page));
		for (unsigned k = 0; k < p->n; k++) {
			all &= p->states[k].applied;
			any |= p->states[k].applied & bit;
		}
		if (!all && any)
			continue;
		keep(other, has_bits, &(struct bits){bit, all ? bit : 0}, "one half of a move");
		spread(other);
	}
}

/* What was struck out was not so at this moment; from here on it may come to be. */
static void settle_page(struct page *p)
{
	agree(p);
	spread(p);
}

static void forget_bit(struct page *p, uint64_t bit)
{
	unsigned n = p->n;

	p->ops &= ~bit;
	p->n = 0;
	for (unsigned i = 0; i < n; i++) {
		struct model_state s = p->states[i];

		s.applied &= ~bit;
		add(p, &s);
	}
}

/* ---- Operations ----------------------------------------------------------------------------- */

void model_begin(struct model_op *op)
{
	unsigned bit = 0;

	while (bit < MAX_OPS && pending[bit])
		bit++;
	if (bit == MAX_OPS)
		sim_fail("too many operations at once");
	op->bit = bit;
	pending[bit] = op;
	for (uint64_t i = 0; i < op->n; i++) {
		page_at(op->page + i)->ops |= 1ull << bit;
		note(page_at(op->page + i), type_names[op->type], op->base + op->prot, bit);
		if (!is_pair(op))
			continue;
		page_at(op->from + i)->ops |= 1ull << bit;
		note(page_at(op->from + i), "goes away by", op->type, bit);
	}
	for (uint64_t i = 0; i < op->n; i++) {
		if (is_pair(op))
			spread(page_at(op->from + i));
		spread(page_at(op->page + i));
	}
}

static void end_page(struct page *p, const struct model_op *op, enum model_result result)
{
	uint64_t bit = 1ull << op->bit;

	note(p,
	     result == MODEL_YES  ? "done"
	     : result == MODEL_NO ? "not done"
				  : "maybe done",
	     op->type, op->bit);
	if (result != MODEL_MAYBE)
		keep(p, has_bits, &(struct bits){bit, result == MODEL_YES ? bit : 0},
		     "the result of an operation");
}

void model_end(struct model_op *op, uint64_t done, enum model_result rest)
{
	uint64_t bit = 1ull << op->bit;

	for (uint64_t i = 0; i < op->n; i++) {
		enum model_result result = i < done ? MODEL_YES : rest;

		end_page(page_at(op->page + i), op, result);
		if (is_pair(op))
			end_page(page_at(op->from + i), op, result);
	}
	for (uint64_t i = 0; i < op->n; i++) {
		forget_bit(page_at(op->page + i), bit);
		if (is_pair(op))
			forget_bit(page_at(op->from + i), bit);
	}
	pending[op->bit] = NULL;
}

void model_access_begin(struct model_access *a, uint64_t page, bool write)
{
	struct page *p = page_at(page);

	*a = (struct model_access){.page = page, .write = write};
	accesses[sim_self()] = a;
	p->readers += !write;
	p->writers += write;
	note(p, write ? "store begins" : "load begins", 0, 0);
	spread(p);
}

void model_access_end(struct model_access *a)
{
	struct page *p = page_at(a->page);

	p->readers -= !a->write;
	p->writers -= a->write;
	accesses[sim_self()] = NULL;
}

void model_touch_begin(uint64_t page, uint64_t n, bool write)
{
	for (uint64_t i = page; i < page + n; i++) {
		pages[i].readers += !write;
		pages[i].writers += write;
		note(page_at(i), "touched", write, 0);
		spread(page_at(i));
	}
}

void model_touch_end(uint64_t page, uint64_t n, bool write)
{
	for (uint64_t i = page; i < page + n; i++) {
		pages[i].readers -= !write;
		pages[i].writers -= write;
	}
}

/* ---- Contents ------------------------------------------------------------------------------- */

static uint64_t fill_word(uint32_t base, uint64_t i)
{
	return base ? ((uint64_t)base << 16) | i : 0;
}

void model_fill(uint64_t *words, uint32_t base)
{
	for (uint64_t i = 0; i < WORDS; i++)
		words[i] = fill_word(base, i);
}

void model_look(uint64_t page, const uint64_t *words, struct model_contents *out)
{
	out->base = (uint32_t)(words[1] >> 16);
	for (uint64_t i = 1; i < WORDS - 1; i++) {
		if (words[i] == fill_word(out->base, i))
			continue;
		print_page(page_at(page), page_at(page)->states, page_at(page)->n);
		sim_fail("page %llu is of two fills: word 1 is %#llx, word %llu is %#llx",
			 (unsigned long long)page, (unsigned long long)words[1],
			 (unsigned long long)i, (unsigned long long)words[i]);
	}
	for (unsigned s = 0; s < MODEL_SLOTS; s++) {
		uint64_t word = words[SLOT_WORD(s)];

		out->slot[s] = word & STORED ? word : 0;
		if (!(word & STORED) && word != fill_word(out->base, SLOT_WORD(s)))
			sim_fail("page %llu: a slot has a strange word %#llx",
				 (unsigned long long)page, (unsigned long long)word);
	}
}

static bool same_contents(const struct model_state *s, const struct model_contents *c)
{
	return s->mapped && s->kind == MODEL_PRESENT && s->base == c->base &&
	       memcmp(s->slot, c->slot, sizeof(s->slot)) == 0;
}

static bool explains_load(const struct model_state *s, const void *arg)
{
	return same_contents(s, arg) && (s->prot & UF_PROT_READ) && !s->rwp;
}

void model_loaded(uint64_t page, const struct model_contents *seen)
{
	struct page *p = page_at(page);

	note(p, "load sees", seen->base, seen->slot[0]);
	keep(p, explains_load, seen, "what a load saw");
	settle_page(p);
}

struct store {
	unsigned slot;
	const struct model_contents *seen;
};

static bool explains_store(const struct model_state *s, const void *arg)
{
	const struct store *store = arg;
	struct model_state after = *s;

	after.slot[store->slot] = store->seen->slot[store->slot];
	return same_contents(&after, store->seen) && (s->prot & UF_PROT_WRITE) && !s->rwp && !s->wp;
}

void model_stored(uint64_t page, unsigned slot, const struct model_contents *seen)
{
	struct page *p = page_at(page);

	note(p, "store", seen->base, seen->slot[slot]);
	keep(p, explains_store, &(struct store){slot, seen}, "that a store came through");
	for (unsigned i = 0; i < p->n; i++)
		p->states[i].slot[slot] = seen->slot[slot];
	settle_page(p);
}

static bool explains_sight(const struct model_state *s, const void *arg)
{
	const struct model_sight *seen = arg;

	if (s->mapped != seen->mapped)
		return false;
	if (!s->mapped)
		return true;
	if (s->prot != seen->prot || s->modes != seen->modes || s->kind != seen->kind)
		return false;
	if (s->wp != seen->wp || s->rwp != seen->rwp)
		return false;
	return !seen->has_contents || same_contents(s, &seen->contents);
}

void model_sight(uint64_t page, const struct model_sight *seen)
{
	struct page *p = page_at(page);

	note(p, "is seen as", seen->kind | (uint64_t)seen->prot << 4 | (uint64_t)seen->modes << 8,
	     seen->has_contents ? seen->contents.base : 0);
	keep(p, explains_sight, seen, "what stands in the page table");
	settle_page(p);
}
