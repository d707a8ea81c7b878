/* cells.c - sets of states of cells, and what operations and sights do to them. */
#include "cells.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cell-rules.h"

#define WORDS	     (UF_PAGE_SIZE / sizeof(uint64_t))
#define MAX_OPS	     64
#define MAX_STATES   20000
#define HISTORY	     32
#define STORED	     (1ull << 63)
#define PROGRAM_BASE 0xf0000000u

struct note {
	uint64_t at;
	unsigned thread, place;
	const char *what;
	uint64_t a;
};

struct cell {
	struct cell_state *states;
	unsigned n, cap;
	unsigned readers[CELL_PLACES], writers[CELL_PLACES];
	uint64_t ops;
	struct note history[HISTORY];
	unsigned notes;
};

static struct cell cells[CELLS];
static struct cell_op *pending[MAX_OPS];
static struct cell_access *accesses[SIM_MAX_THREADS + 1];
static unsigned most;
static bool poor; /* there may be too little memory */

static const char *const type_names[] = {
	"copy",	 "zero",  "continue", "poison", "wp",	    "unwp",	"rwp",
	"unrwp", "zap",	  "unmap",    "map",	"mprotect", "register", "unregister",
	"close", "remap", "move",     "write",	"truncate", "grow",	"punch",
};

static void note(struct cell *c, unsigned place, const char *what, uint64_t a)
{
	c->history[c->notes++ % HISTORY] = (struct note){sim_points(), sim_self(), place, what, a};
}

unsigned cells_most(void)
{
	return most;
}

uint32_t cells_program_base(unsigned cell)
{
	return cell_program_empty ? 0 : PROGRAM_BASE + cell;
}

const struct cell_state *cells_guess(unsigned cell)
{
	return &cells[cell].states[0];
}

void cells_start(bool tight, bool empty)
{
	most = 0;
	poor = tight;
	cell_program_empty = empty;
	memset(cells, 0, sizeof(cells));
	memset(pending, 0, sizeof(pending));
	memset(accesses, 0, sizeof(accesses));
	for (unsigned i = 0; i < CELLS; i++) {
		cells[i].cap = 16;
		cells[i].states = calloc(16, sizeof(*cells[i].states));
		cells[i].n = 1;
		cells[i].states[0].inside = 1;
	}
}

void cells_stop(void)
{
	for (unsigned i = 0; i < CELLS; i++)
		free(cells[i].states);
}

/* ---- Saying what went wrong ----------------------------------------------------------------- */

static void print_contents(const struct cell_contents *c)
{
	fprintf(stderr, " %u/%llx/%llx", c->base, (unsigned long long)c->slot[0],
		(unsigned long long)c->slot[1]);
}

static void print_state(unsigned cell, const struct cell_state *s)
{
	static const char *const kinds[] = {"empty", "present", "marked", "poison"};
	static const char *const backings[] = {"", "shared", "private", "anon", "program"};

	fprintf(stderr, "    %s", s->inside ? s->there ? "file" : "hole" : "end");
	if (s->there)
		print_contents(&s->file);
	for (unsigned p = 0; p < CELL_PLACES; p++) {
		const struct cell_place *at = &s->place[p];

		if (!at->mapped)
			continue;
		fprintf(stderr, " | %s%u %s%s%s%s p%u m%u o%u", backings[cell_backing(cell, p)], p,
			kinds[at->kind], at->copy ? " copy" : "", at->wp ? " wp" : "",
			at->rwp ? " rwp" : "", at->prot, at->modes, at->owner);
		print_contents(&at->own);
	}
	fprintf(stderr, " applied %llx\n", (unsigned long long)s->applied);
}

static void print_cell(const struct cell *c, const struct cell_state *states, unsigned n)
{
	unsigned first = c->notes > HISTORY ? c->notes - HISTORY : 0;

	fprintf(stderr, "  what happened to it (point, thread, place):\n");
	for (unsigned i = first; i < c->notes; i++) {
		const struct note *h = &c->history[i % HISTORY];

		fprintf(stderr, "    %llu %u %u %s %llx\n", (unsigned long long)h->at, h->thread,
			h->place, h->what, (unsigned long long)h->a);
	}
	fprintf(stderr, "  states before:\n");
	for (unsigned i = 0; i < n; i++)
		print_state((unsigned)(c - cells), &states[i]);
	for (unsigned i = 0; i < MAX_OPS; i++)
		if (c->ops >> i & 1)
			fprintf(stderr, "  pending: bit %u %s at %u\n", i,
				type_names[pending[i]->type], pending[i]->place);
}

void cells_explain(unsigned cell)
{
	print_cell(&cells[cell], cells[cell].states, cells[cell].n);
}

/* ---- Sets ----------------------------------------------------------------------------------- */

static bool add(struct cell *c, const struct cell_state *s)
{
	for (unsigned i = 0; i < c->n; i++)
		if (memcmp(&c->states[i], s, sizeof(*s)) == 0)
			return false;
	if (c->n == MAX_STATES) {
		print_cell(c, c->states, 16);
		sim_fail("a cell has too many states");
	}
	if (c->n == c->cap) {
		c->cap *= 2;
		c->states = realloc(c->states, c->cap * sizeof(*c->states));
	}
	c->states[c->n++] = *s;
	if (c->n > most)
		most = c->n;
	return true;
}

/* All that may come of one state by one step. */
static void spread_state(struct cell *c, struct cell_state s)
{
	unsigned cell = (unsigned)(c - cells);
	struct cell_state t;

	for (unsigned p = 0; p < CELL_PLACES; p++)
		for (int write = 0; write < 2; write++) {
			t = s;
			if ((write ? c->writers : c->readers)[p] && cell_touch(cell, p, write, &t))
				(void)add(c, &t);
		}
	for (uint64_t ops = c->ops & ~s.applied; ops; ops &= ops - 1) {
		const struct cell_op *op = pending[__builtin_ctzll(ops)];

		t = s;
		if (cell_apply(op, cell, &t)) {
			t.applied |= 1ull << op->bit;
			(void)add(c, &t);
		}
		t = s;
		if (poor && cell_apply_poorly(op, cell, &t)) {
			/* A move that comes to nothing has closed what it would have taken. */
			if (op->type != CELL_MOVE)
				t.applied |= 1ull << op->bit;
			(void)add(c, &t);
		}
	}
}

/* Could the accesses under way have met a state that ends them with a signal? */
static void allow_signals(const struct cell *c)
{
	unsigned cell = (unsigned)(c - cells);

	for (unsigned t = 0; t <= SIM_MAX_THREADS; t++) {
		struct cell_access *a = accesses[t];

		if (!a || a->cell != cell)
			continue;
		for (unsigned i = 0; i < c->n; i++) {
			const struct cell_place *at = &c->states[i].place[a->place];
			uint32_t need = a->write ? UF_PROT_WRITE : UF_PROT_READ;

			a->could_segv |= !at->mapped || !(at->prot & need);
			a->could_bus |= cell_ends_with_bus(cell, a->place, a->write, &c->states[i]);
		}
	}
}

/* New states are added at the end, and looked at in their turn. */
static void spread(struct cell *c)
{
	for (unsigned i = 0; i < c->n; i++)
		spread_state(c, c->states[i]);
	allow_signals(c);
}

void cells_owner_changed(void)
{
	for (unsigned i = 0; i < CELLS; i++)
		spread(&cells[i]);
}

/* ---- Striking out --------------------------------------------------------------------------- */

static void keep(struct cell *c, bool (*test)(const struct cell_state *s, const void *arg),
		 const void *arg, const char *what)
{
	struct cell_state before[16];
	unsigned had = c->n, shown = had < 16 ? had : 16, n = 0;

	memcpy(before, c->states, shown * sizeof(*before));
	for (unsigned i = 0; i < had; i++)
		if (test(&c->states[i], arg))
			c->states[n++] = c->states[i];
	c->n = n;
	if (n)
		return;
	fprintf(stderr, "cell %u: nothing explains: %s\n", (unsigned)(c - cells), what);
	print_cell(c, before, shown);
	sim_fail("the model has no state left");
}

struct bits {
	uint64_t mask, want;
};

static bool has_bits(const struct cell_state *s, const void *arg)
{
	const struct bits *b = arg;

	return (s->applied & b->mask) == b->want;
}

/* States that were changed may have become the same. */
static void join(struct cell *c)
{
	unsigned n = c->n;

	c->n = 0;
	for (unsigned i = 0; i < n; i++) {
		struct cell_state s = c->states[i];

		(void)add(c, &s);
	}
}

static void forget_bit(struct cell *c, uint64_t bit)
{
	c->ops &= ~bit;
	for (unsigned i = 0; i < c->n; i++)
		c->states[i].applied &= ~bit;
	join(c);
}

/* ---- Operations ----------------------------------------------------------------------------- */

void cells_begin(struct cell_op *op)
{
	unsigned bit = 0;

	while (bit < MAX_OPS && pending[bit])
		bit++;
	if (bit == MAX_OPS)
		sim_fail("too many operations at once");
	op->bit = bit;
	pending[bit] = op;
	for (unsigned i = op->first; i < op->first + op->n; i++) {
		cells[i].ops |= 1ull << bit;
		note(&cells[i], op->place, type_names[op->type], op->base + op->prot);
		spread(&cells[i]);
	}
}

void cells_end(struct cell_op *op, uint64_t done, enum model_result rest)
{
	uint64_t bit = 1ull << op->bit;

	for (unsigned i = 0; i < op->n; i++) {
		struct cell *c = &cells[op->first + i];
		enum model_result result = i < done ? MODEL_YES : rest;

		note(c, op->place,
		     result == MODEL_YES  ? "done"
		     : result == MODEL_NO ? "not done"
					  : "maybe done",
		     op->type);
		if (result != MODEL_MAYBE)
			keep(c, has_bits, &(struct bits){bit, result == MODEL_YES ? bit : 0},
			     "the result of an operation");
		forget_bit(c, bit);
	}
	pending[op->bit] = NULL;
}

void cells_touch(unsigned cell, unsigned place, bool write, bool begin)
{
	struct cell *c = &cells[cell];

	(write ? c->writers : c->readers)[place] += begin ? 1 : -1u;
	note(c, place, begin ? "touch begins" : "touch ends", write);
	if (begin)
		spread(c);
}

void cells_access_begin(struct cell_access *a, unsigned cell, unsigned place, bool write)
{
	*a = (struct cell_access){.cell = cell, .place = place, .write = write};
	accesses[sim_self()] = a;
	cells_touch(cell, place, write, true);
}

void cells_access_end(struct cell_access *a)
{
	cells_touch(a->cell, a->place, a->write, false);
	accesses[sim_self()] = NULL;
}

/* ---- Contents ------------------------------------------------------------------------------- */

static uint64_t fill_word(uint32_t base, uint64_t page, uint64_t i)
{
	return base ? page << 48 | (uint64_t)base << 16 | i : 0;
}

void cells_fill(uint64_t *words, uint32_t base, uint64_t page)
{
	for (uint64_t i = 0; i < WORDS; i++)
		words[i] = fill_word(base, page, i);
}

/* One word that is not stored to tells of every page; of some pages all are looked at. */
void cells_look(unsigned cell, const uint64_t *(*at)(const void *arg, uint64_t page),
		const void *arg, struct cell_contents *out)
{
	uint64_t last = cell_pages(cell) - 1, some = sim_points() % (last + 1);

	*out = (struct cell_contents){.base = (uint32_t)(at(arg, 0)[1] >> 16)};
	for (uint64_t page = 0; page <= last; page++) {
		const uint64_t *words = at(arg, page);
		bool all = page == 0 || page == last || page == some;

		for (uint64_t i = 1; i < (all ? WORDS - 1 : 2); i++) {
			if (words[i] == fill_word(out->base, page, i))
				continue;
			cells_explain(cell);
			sim_fail("cell %u is of two fills: base %#x, word %llu of page %llu is "
				 "%#llx",
				 cell, out->base, (unsigned long long)i, (unsigned long long)page,
				 (unsigned long long)words[i]);
		}
	}
	for (unsigned s = 0; s < MODEL_SLOTS; s++) {
		uint64_t page = s ? last : 0, i = s ? WORDS - 1 : 0, word = at(arg, page)[i];

		out->slot[s] = word & STORED ? word : 0;
		if (!(word & STORED) && word != fill_word(out->base, page, i))
			sim_fail("cell %u: a slot has a strange word %#llx", cell,
				 (unsigned long long)word);
	}
}

static bool same(const struct cell_contents *a, const struct cell_contents *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

struct seeing {
	unsigned cell, place, slot;
	const struct cell_contents *seen;
};

static bool explains_load(const struct cell_state *s, const void *arg)
{
	const struct seeing *look = arg;
	struct cell_state t = *s;

	return cell_access(look->cell, look->place, false, &t) &&
	       same(cell_visible(look->cell, look->place, &t), look->seen);
}

static bool explains_store(const struct cell_state *s, const void *arg)
{
	const struct seeing *look = arg;
	struct cell_contents c;
	struct cell_state t = *s;

	if (!cell_access(look->cell, look->place, true, &t))
		return false;
	c = *cell_visible(look->cell, look->place, &t);
	c.slot[look->slot] = look->seen->slot[look->slot];
	return same(&c, look->seen);
}

void cells_loaded(unsigned cell, unsigned place, const struct cell_contents *seen)
{
	struct cell *c = &cells[cell];

	note(c, place, "load sees", seen->base);
	keep(c, explains_load, &(struct seeing){cell, place, 0, seen}, "what a load saw");
	for (unsigned i = 0; i < c->n; i++)
		(void)cell_access(cell, place, false, &c->states[i]);
	join(c);
	spread(c);
}

void cells_stored(unsigned cell, unsigned place, unsigned slot, const struct cell_contents *seen)
{
	struct cell *c = &cells[cell];

	note(c, place, "store", seen->slot[slot]);
	keep(c, explains_store, &(struct seeing){cell, place, slot, seen},
	     "that a store came through");
	for (unsigned i = 0; i < c->n; i++) {
		(void)cell_access(cell, place, true, &c->states[i]);
		cell_visible(cell, place, &c->states[i])->slot[slot] = seen->slot[slot];
	}
	join(c);
	spread(c);
}

static bool explains_read(const struct cell_state *s, const void *arg)
{
	static const struct cell_contents zeroes;

	return s->inside && same(s->there ? &s->file : &zeroes, arg);
}

void cells_read(unsigned cell, const struct cell_contents *seen)
{
	struct cell *c = &cells[cell];

	note(c, 0, "read(2) sees", seen->base);
	keep(c, explains_read, seen, "what read(2) saw");
	spread(c);
}

static bool explains_sight(const struct cell_state *s, const void *arg)
{
	const struct cell_state *seen = arg;
	struct cell_state t = *s;

	t.applied = 0;
	for (unsigned p = 0; p < CELL_PLACES; p++)
		t.place[p].owner = 0;
	return memcmp(&t, seen, sizeof(t)) == 0;
}

void cells_sight(unsigned cell, const struct cell_state *seen)
{
	struct cell *c = &cells[cell];

	if (c->n > 1 || !explains_sight(&c->states[0], seen)) {
		unsigned i = 0;

		note(c, 0, "is seen", seen->there);
		while (i < c->n && !explains_sight(&c->states[i], seen))
			i++;
		if (i == c->n) {
			fprintf(stderr, "what is seen:\n");
			print_state(cell, seen);
		}
		keep(c, explains_sight, seen, "what stands in the page table");
		spread(c);
	}
}
