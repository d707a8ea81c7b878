/* cell-workers.c - what workers and handlers of the random program do with memory of every type. */
#include <errno.h>

#include "cell-operations.h"

static unsigned any_place(unsigned cell)
{
	unsigned place;

	do
		place = (unsigned)sim_random(CELL_PLACES);
	while (!cell_backing(cell, place));
	return place;
}

/* Huge pages are dear. */
static unsigned any_cell(void)
{
	if (sim_random(12) == 0)
		return CELLS_SMALL + (unsigned)sim_random(CELLS_HUGE);
	return (unsigned)sim_random(CELLS_SMALL);
}

static struct cell_op any_range(void)
{
	unsigned cell = any_cell(), last = cell_is_huge(cell) ? CELLS : CELLS_SMALL;
	struct cell_op op = {.place = any_place(cell), .first = cell, .n = 1};

	if (sim_random(2))
		op.n += (unsigned)sim_random(3);
	if (op.first + op.n > last)
		op.n = last - op.first;
	return op;
}

/*
 * Most of what could be asked for at random is refused. Look for a place where it makes sense, not
 * too hard: refusals are part of it.
 */
enum aim {
	AIM_ABSENT, /* registered, and nothing is there */
	AIM_CACHED, /* registered, empty, and the file has the page */
	AIM_PRESENT
};

static bool fits(const struct cell_op *op, enum aim aim)
{
	const struct cell_state *s = cells_guess(op->first);
	const struct cell_place *at = &s->place[op->place];
	bool absent = at->modes && at->kind != MODEL_PRESENT && s->inside;

	switch (aim) {
	case AIM_ABSENT:
		return absent && (cell_backing(op->first, op->place) != CELL_SHARED || !s->there);
	case AIM_CACHED:
		return absent && s->there;
	case AIM_PRESENT:
		return at->modes && at->kind == MODEL_PRESENT;
	}
	return false;
}

static struct cell_op aimed(enum aim aim)
{
	struct cell_op op = any_range();

	for (unsigned i = 0; !schedule.real && i < 8 && !fits(&op, aim); i++)
		op = any_range();
	return op;
}

static bool of_file(const struct cell_op *op)
{
	enum cell_backing b = cell_backing(op->first, op->place);

	return b == CELL_SHARED || b == CELL_PRIVATE;
}

/* Another place of the same kind. 0 and 1, 2 and 3 are. */
static bool other_place(struct cell_op *op)
{
	op->to = op->place ^ 1;
	return cell_backing(op->first, op->to) == cell_backing(op->first, op->place);
}

/* ---- Handlers -------------------------------------------------------------------------------- */

static int64_t answer_missing(struct slot *s, struct cell_op op, bool dontwake)
{
	uint64_t what = sim_random(40);

	if (what == 0)
		return do_cell_poison(s, op);
	if (what < 10 && !cell_is_huge(op.first))
		return do_cell_zero(s, op);
	op.wp = sim_random(3) == 0;
	return do_cell_copy(s, op, dontwake);
}

bool cells_answer(struct slot *s, unsigned cell, unsigned place, uint64_t flags, bool dontwake)
{
	struct cell_op op = {.place = place, .first = cell, .n = 1};
	int64_t result;

	if (flags & UF_PAGEFAULT_FLAG_WP)
		result = do_cell_protect(s, op, false, false);
	else if (flags & UF_PAGEFAULT_FLAG_RWP)
		result = do_cell_protect(s, op, true, false);
	else if (flags & UF_PAGEFAULT_FLAG_MINOR)
		result = do_cell_continue(s, op);
	else
		result = answer_missing(s, op, dontwake);
	if (result == -EAGAIN)
		return false;
	if (result < 0)
		CHECK_EQ(front_wake(&s->u, cell_addr(cell, place), PAGES(cell_pages(cell))), 0);
	return true;
}

/* ---- Workers --------------------------------------------------------------------------------- */

static void use_slot(struct slot *s)
{
	bool rwp = s->modes & MM_MODE_RWP, wp = sim_random(2);
	struct cell_op op;

	switch (sim_random(8)) {
	case 0:
		if (sim_random(3) == 0)
			do_cell_unregister(s, any_range());
		break;
	case 1:
	case 2:
		(void)do_cell_protect(s, aimed(sim_random(3) ? AIM_PRESENT : AIM_ABSENT), rwp,
				      true);
		break;
	case 3:
		(void)do_cell_protect(s, aimed(AIM_PRESENT), rwp, false);
		break;
	case 4:
	case 5:
		op = aimed(AIM_ABSENT);
		op.wp = wp;
		(void)do_cell_copy(s, op, sim_random(4) == 0);
		break;
	case 6:
		(void)do_cell_zero(s, aimed(AIM_ABSENT));
		break;
	case 7:
		op = aimed(AIM_CACHED);
		op.wp = wp;
		(void)do_cell_continue(s, op);
		break;
	}
}

static void with_slot(void)
{
	struct slot *s = &schedule.slots[sim_random(SLOTS)];

	if (front_get(&s->u)) {
		use_slot(s);
		front_put(&s->u);
	}
}

static void enrol(struct cell_op op)
{
	struct slot *s = &schedule.slots[sim_random(SLOTS)];

	if (sim_random(2)) {
		op.first = cell_is_huge(op.first) ? CELLS_SMALL : 0;
		op.n = op.first ? CELLS_HUGE : CELLS_SMALL;
	}
	shape_begin(true);
	if (front_get(&s->u)) {
		do_cell_register(s, op);
		front_put(&s->u);
	}
	shape_end(true);
}

/* Pages go to another place. */
static void move_some(void)
{
	struct slot *s = &schedule.slots[sim_random(SLOTS)];
	struct cell_op op = aimed(AIM_ABSENT);
	enum cell_backing from, to;

	op.to = op.place;
	op.place = any_place(op.first);
	op.holes = sim_random(2);
	from = cell_backing(op.first, op.place);
	to = cell_backing(op.first, op.to);
	if (op.to == op.place || to == CELL_PROGRAM || from == CELL_PROGRAM)
		return;
	shape_begin(true);
	if (front_get(&s->u)) {
		do_cell_move(s, op);
		front_put(&s->u);
	}
	shape_end(true);
}

static void change_mapping(struct cell_op op)
{
	static const uint32_t prots[] = {RW, RW, UF_PROT_READ, 0};

	switch (sim_random(8)) {
	case 0:
	case 1:
		do_cell_zap(op);
		break;
	case 2:
		do_cell_map(op);
		break;
	case 3:
		do_cell_mprotect(op, prots[sim_random(4)]);
		break;
	case 4:
		do_cell_mprotect(op, RW);
		break;
	case 5:
		do_cell_populate(op, sim_random(2));
		break;
	case 6:
		do_cell_pageout(op);
		break;
	case 7:
		op.keeps = sim_random(3) == 0;
		if (other_place(&op))
			do_cell_remap(op);
		break;
	}
}

static void change_file(struct cell_op op)
{
	bool huge = cell_is_huge(op.first);
	unsigned all = huge ? CELLS_HUGE : CELLS_SMALL;

	/* What is cut off grows again soon. */
	if (sim_random(4) == 0)
		do_cell_truncate(huge, sim_random(3) ? all : (unsigned)sim_random(all));
	else if (!of_file(&op) || sim_random(2))
		do_cell_file(op.first, sim_random(2));
	else
		do_cell_punch(op);
}

void cells_turn(void)
{
	struct cell_op op = any_range();
	uint64_t what = sim_random(100);

	if (what < 58)
		do_cell_access(op.first, op.place, sim_random(2));
	else if (what < 68)
		with_slot();
	else if (what < 70)
		do_cell_mcopy(aimed(AIM_ABSENT));
	else if (what < 76)
		enrol(op);
	else if (what < 80)
		move_some();
	else if (what < 91)
		change_mapping(op);
	else
		change_file(op);
}
