/* cell-rules.c - the rules, one function for each operation. */
#include "cell-rules.h"

#include <string.h>

static const enum cell_backing small_places[CELL_PLACES] = {
	CELL_SHARED, CELL_SHARED, CELL_PRIVATE, CELL_PRIVATE, CELL_ANON, CELL_PROGRAM};
static const enum cell_backing huge_places[CELL_PLACES] = {CELL_SHARED, CELL_SHARED, CELL_PRIVATE};

bool cell_program_empty;

enum cell_backing cell_backing(unsigned cell, unsigned place)
{
	return (cell_is_huge(cell) ? huge_places : small_places)[place];
}

uint64_t cell_pages(unsigned cell)
{
	return cell_is_huge(cell) ? CELL_GROUP : 1;
}

/* Places of small cells are 18 pages apart, those of huge ones three huge pages. */
#define SMALL_AT   1420
#define SMALL_STEP 18
#define HUGE_AT	   2048
#define HUGE_STEP  (3 * CELL_GROUP)

uint64_t cell_addr(unsigned cell, unsigned place)
{
	if (cell_is_huge(cell))
		return PAGE(HUGE_AT + place * HUGE_STEP + (cell - CELLS_SMALL) * CELL_GROUP);
	return PAGE(SMALL_AT + place * SMALL_STEP + cell);
}

bool cell_find(uint64_t addr, unsigned *cell, unsigned *place)
{
	uint64_t page = (addr - SIM_BASE) / UF_PAGE_SIZE;

	if (page >= HUGE_AT) {
		*place = (unsigned)((page - HUGE_AT) / HUGE_STEP);
		*cell = CELLS_SMALL + (unsigned)((page - HUGE_AT) % HUGE_STEP / CELL_GROUP);
	} else {
		*place =
			page >= SMALL_AT ? (unsigned)((page - SMALL_AT) / SMALL_STEP) : CELL_PLACES;
		*cell = page >= SMALL_AT ? (unsigned)((page - SMALL_AT) % SMALL_STEP) : CELLS;
		if (*cell >= CELLS_SMALL)
			return false;
	}
	return *cell < CELLS && *place < CELL_PLACES && cell_backing(*cell, *place);
}

static bool of_file(unsigned cell, unsigned place)
{
	enum cell_backing b = cell_backing(cell, place);

	return b == CELL_SHARED || b == CELL_PRIVATE;
}

/* Do empty entries take marks of protection, and keep those of pages that go? */
static bool keeps_marks(unsigned cell, unsigned place)
{
	return cell_backing(cell, place) != CELL_ANON;
}

static void zero(struct cell_contents *c)
{
	memset(c, 0, sizeof(*c));
}

static void set_base(struct cell_contents *c, uint32_t base)
{
	zero(c);
	c->base = base;
}

static void set_kind(struct cell_place *at, enum model_kind kind)
{
	at->kind = kind;
	at->wp = at->rwp = at->copy = 0;
	zero(&at->own);
}

/* The page leaves the page table; its mark may stay behind. */
static void empty(struct cell_place *at, bool keep_mark)
{
	set_kind(at,
		 keep_mark && (at->wp || at->kind == MODEL_MARKED) ? MODEL_MARKED : MODEL_EMPTY);
}

static void disown(struct cell_place *at)
{
	at->owner = at->modes = at->wp = at->rwp = 0;
	if (at->kind == MODEL_MARKED)
		set_kind(at, MODEL_EMPTY);
}

static void make_file(struct cell_state *s)
{
	if (!s->there)
		zero(&s->file);
	s->there = 1;
}

struct cell_contents *cell_visible(unsigned cell, unsigned place, struct cell_state *s)
{
	struct cell_place *at = &s->place[place];

	return of_file(cell, place) && !at->copy ? &s->file : &at->own;
}

/* Is there a page although the entry is empty? */
static bool cached(unsigned cell, unsigned place, const struct cell_state *s)
{
	if (of_file(cell, place))
		return s->there;
	return cell_backing(cell, place) == CELL_PROGRAM && !cell_program_empty;
}

static bool past_end(unsigned cell, unsigned place, const struct cell_state *s)
{
	return of_file(cell, place) && !s->inside;
}

/* ---- Accesses ------------------------------------------------------------------------------- */

static bool populate(unsigned cell, unsigned place, struct cell_state *s)
{
	struct cell_place *at = &s->place[place];
	bool marked = at->kind == MODEL_MARKED, there = cached(cell, place, s);

	if (past_end(cell, place, s) || at->modes & (there ? MM_MODE_MINOR : MM_MODE_MISSING))
		return false;
	set_kind(at, MODEL_PRESENT);
	at->wp = marked;
	if (cell_backing(cell, place) == CELL_SHARED)
		make_file(s);
	if (cell_backing(cell, place) == CELL_PROGRAM)
		set_base(&at->own, cells_program_base(cell));
	return true;
}

bool cell_touch(unsigned cell, unsigned place, bool write, struct cell_state *s)
{
	struct cell_place *at = &s->place[place];
	const struct model_owner *o = &model_owners[at->owner];
	bool absent = at->kind == MODEL_EMPTY || at->kind == MODEL_MARKED;

	/* A page of the program's type may still be on its way when the protection changes. */
	if (!at->mapped || (!(write ? at->prot & UF_PROT_WRITE : at->prot) &&
			    !(absent && cell_backing(cell, place) == CELL_PROGRAM)))
		return false;
	switch (at->kind) {
	case MODEL_EMPTY:
	case MODEL_MARKED:
		return populate(cell, place, s);
	case MODEL_PRESENT:
		if (at->rwp && o->rwp_async) {
			at->rwp = 0;
			return true;
		}
		if (at->wp && o->wp_async && write) {
			at->wp = 0;
			return true;
		}
		return false;
	default:
		return false;
	}
}

bool cell_access(unsigned cell, unsigned place, bool write, struct cell_state *s)
{
	struct cell_place *at = &s->place[place];

	if (!at->mapped || at->kind != MODEL_PRESENT || at->rwp || (write && at->wp) ||
	    !(at->prot & (write ? UF_PROT_WRITE : UF_PROT_READ)) || past_end(cell, place, s))
		return false;
	if (!of_file(cell, place) || at->copy)
		return true;
	make_file(s);
	if (write && cell_backing(cell, place) == CELL_PRIVATE) {
		at->own = s->file;
		at->copy = 1;
	}
	return true;
}

bool cell_ends_with_bus(unsigned cell, unsigned place, bool write, const struct cell_state *s)
{
	const struct cell_place *at = &s->place[place];
	bool present = at->kind == MODEL_PRESENT, there = cached(cell, place, s);

	if (!at->mapped)
		return false;
	if (at->kind == MODEL_POISON || past_end(cell, place, s))
		return true;
	if (!model_owners[at->owner].sigbus)
		return false;
	return (!present && (at->modes & (there ? MM_MODE_MINOR : MM_MODE_MISSING))) ||
	       (present && (at->rwp || (at->wp && write)));
}

/* ---- Fills ---------------------------------------------------------------------------------- */

static bool fillable(const struct cell_op *op, unsigned cell, const struct cell_state *s)
{
	const struct cell_place *at = &s->place[op->place];
	enum cell_backing b = cell_backing(cell, op->place);

	if (!at->mapped || (!at->modes && !op->any) || at->kind == MODEL_PRESENT)
		return false;
	if (op->wp && !(at->modes & MM_MODE_WP))
		return false;
	switch (op->type) {
	case CELL_SET_POISON:
		return at->kind == MODEL_EMPTY;
	case CELL_CONTINUE:
		return of_file(cell, op->place) && s->inside && s->there;
	case CELL_ZERO:
		if (cell_is_huge(cell) || (at->kind != MODEL_EMPTY && b != CELL_SHARED))
			return false;
		break;
	default:
		break;
	}
	if (past_end(cell, op->place, s) || (b == CELL_PROGRAM && !cell_program_empty))
		return false;
	return b != CELL_SHARED || !s->there;
}

static bool apply_fill(const struct cell_op *op, unsigned cell, struct cell_state *s)
{
	struct cell_place *at = &s->place[op->place];

	if (!fillable(op, cell, s))
		return false;
	if (op->type == CELL_SET_POISON) {
		set_kind(at, MODEL_POISON);
		return true;
	}
	set_kind(at, MODEL_PRESENT);
	at->wp = op->wp;
	if (op->type == CELL_CONTINUE)
		return true;
	if (cell_backing(cell, op->place) == CELL_SHARED)
		make_file(s);
	else
		at->copy = of_file(cell, op->place);
	set_base(cell_visible(cell, op->place, s),
		 op->type == CELL_COPY ? op->base + cell - op->first : 0);
	return true;
}

/* ---- Marks and owners ----------------------------------------------------------------------- */

static bool apply_mark(const struct cell_op *op, unsigned cell, struct cell_place *at)
{
	uint8_t mode =
		op->type == CELL_SET_WP || op->type == CELL_CLEAR_WP ? MM_MODE_WP : MM_MODE_RWP;

	if (!at->mapped)
		return true;
	if (!(at->modes & mode))
		return false;
	switch (op->type) {
	case CELL_SET_WP:
		if (at->kind == MODEL_PRESENT)
			at->wp = 1;
		else if (at->kind == MODEL_EMPTY &&
			 (keeps_marks(cell, op->place) || model_owners[at->owner].marks_empty))
			at->kind = MODEL_MARKED;
		return true;
	case CELL_CLEAR_WP:
		at->wp = 0;
		if (at->kind == MODEL_MARKED)
			at->kind = MODEL_EMPTY;
		return true;
	case CELL_SET_RWP:
		at->rwp = at->kind == MODEL_PRESENT;
		return true;
	default:
		at->rwp = 0;
		return true;
	}
}

static bool apply_register(const struct cell_op *op, struct cell_place *at)
{
	if (!at->mapped)
		return true;
	if (at->owner && at->owner != op->owner)
		return false;
	if (op->type == CELL_UNREGISTER) {
		if (at->owner)
			disown(at);
		return true;
	}
	at->owner = op->owner;
	if ((at->modes & op->modes) != op->modes)
		at->modes = op->modes;
	return true;
}

/* ---- Files ---------------------------------------------------------------------------------- */

/*
 * What shows the file loses the page. Small private copies survive a hole, marks survive all but
 * the truncation of huge pages, and poison only a hole in small ones.
 */
static void lose_page(unsigned cell, unsigned place, bool cut, struct cell_place *at)
{
	bool huge = cell_is_huge(cell);

	if (!at->mapped || !of_file(cell, place))
		return;
	if (!cut && !huge && (at->copy || at->kind == MODEL_POISON))
		return;
	empty(at, !(cut && huge));
}

static void lose_views(unsigned cell, struct cell_state *s)
{
	for (unsigned p = 0; p < CELL_PLACES; p++)
		lose_page(cell, p, false, &s->place[p]);
}

static bool apply_file(const struct cell_op *op, unsigned cell, struct cell_state *s)
{
	switch (op->type) {
	case CELL_GROW:
		s->inside = 1;
		return true;
	case CELL_WRITE:
		if (!s->inside)
			return false;
		make_file(s);
		set_base(&s->file, op->base + cell - op->first);
		return true;
	default:
		s->there = 0;
		zero(&s->file);
		if (op->type == CELL_TRUNCATE)
			s->inside = 0;
		for (unsigned p = 0; p < CELL_PLACES; p++)
			lose_page(cell, p, op->type == CELL_TRUNCATE, &s->place[p]);
		return true;
	}
}

/* ---- From one place to another -------------------------------------------------------------- */

static bool apply_remap(const struct cell_op *op, struct cell_state *s)
{
	struct cell_place *from = &s->place[op->place], *to = &s->place[op->to];

	if (!from->mapped)
		return false;
	*to = *from;
	if (to->owner && !model_owners[to->owner].wants_remap)
		disown(to);
	set_kind(from, MODEL_EMPTY);
	if (!op->keeps)
		memset(from, 0, sizeof(*from));
	return true;
}

static bool apply_move(const struct cell_op *op, unsigned cell, struct cell_state *s)
{
	struct cell_place *from = &s->place[op->place], *to = &s->place[op->to];
	struct cell_contents c;
	uint8_t rwp;

	if (!from->mapped || !to->mapped || to->owner != op->owner || to->kind != MODEL_EMPTY)
		return false;
	if (from->kind == MODEL_EMPTY)
		return op->holes;
	if (from->kind != MODEL_PRESENT || past_end(cell, op->to, s) ||
	    (cell_backing(cell, op->to) == CELL_SHARED && s->there))
		return false;
	/* A private page without a copy and a hole behind it has nothing to give. */
	if (of_file(cell, op->place) && !from->copy && !s->there)
		return false;
	c = *cell_visible(cell, op->place, s);
	rwp = from->rwp;
	/* What leaves the file leaves all who show it. */
	if (cell_backing(cell, op->place) == CELL_SHARED) {
		lose_views(cell, s);
		s->there = 0;
		zero(&s->file);
	}
	to->kind = MODEL_PRESENT;
	to->rwp = to->modes & MM_MODE_RWP ? rwp : 0;
	if (cell_backing(cell, op->to) == CELL_SHARED)
		make_file(s);
	else
		to->copy = of_file(cell, op->to);
	*cell_visible(cell, op->to, s) = c;
	set_kind(from, MODEL_EMPTY);
	return true;
}

/* What a shared mapping had in the host's tables may not be in ours: it is touched once more. */
bool cell_apply_poorly(const struct cell_op *op, unsigned cell, struct cell_state *s)
{
	struct cell_place *at = &s->place[op->place];

	if (op->type == CELL_MOVE && cell_backing(cell, op->place) == CELL_SHARED) {
		lose_views(cell, s);
		return true;
	}
	if (op->type != CELL_REGISTER || cell_backing(cell, op->place) != CELL_SHARED ||
	    at->owner || at->kind != MODEL_PRESENT)
		return false;
	set_kind(at, MODEL_EMPTY);
	return apply_register(op, at);
}

/* ---- All of them ---------------------------------------------------------------------------- */

bool cell_apply(const struct cell_op *op, unsigned cell, struct cell_state *s)
{
	struct cell_place *at = &s->place[op->place];

	switch (op->type) {
	case CELL_COPY:
	case CELL_ZERO:
	case CELL_CONTINUE:
	case CELL_SET_POISON:
		return apply_fill(op, cell, s);
	case CELL_SET_WP:
	case CELL_CLEAR_WP:
	case CELL_SET_RWP:
	case CELL_CLEAR_RWP:
		return apply_mark(op, cell, at);
	case CELL_ZAP:
		if (at->mapped)
			empty(at, keeps_marks(cell, op->place));
		return true;
	case CELL_UNMAP:
		memset(at, 0, sizeof(*at));
		return true;
	case CELL_MAP:
		memset(at, 0, sizeof(*at));
		at->mapped = 1;
		at->prot = op->prot;
		return true;
	case CELL_PROTECT:
		if (at->mapped)
			at->prot = op->prot;
		return true;
	case CELL_REGISTER:
	case CELL_UNREGISTER:
		return apply_register(op, at);
	case CELL_CLOSE:
		for (unsigned p = 0; p < CELL_PLACES; p++)
			if (s->place[p].mapped && s->place[p].owner == op->owner)
				disown(&s->place[p]);
		return true;
	case CELL_REMAP:
		return apply_remap(op, s);
	case CELL_MOVE:
		return apply_move(op, cell, s);
	case CELL_WRITE:
	case CELL_TRUNCATE:
	case CELL_GROW:
	case CELL_PUNCH:
		return apply_file(op, cell, s);
	}
	return false;
}
