/* cell-operations.c - operations of the random program on memory of every type. */
#include "cell-operations.h"
#include "cell-rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mm/direct.h"
#include "schedules.h"
#include "types/program.h"

#define WORDS	    (UF_PAGE_SIZE / sizeof(uint64_t))
#define STORED	    (1ull << 63)
#define HUGE_SOURCE PAGE(1536)
#define MAX_STORES  4096

static struct sim_file *small_file, *huge_file;
static _Atomic unsigned source_busy; /* the source of huge pages */

/* ---- The store of the program's type --------------------------------------------------------- */

/* Every mapping of it is a new owner, with a store of its own: pages as they were saved. */
static struct {
	unsigned first; /* cell of its page 0 */
	uint64_t *words;
} stores[MAX_STORES];
static _Atomic unsigned nstores;

static uint64_t *stored_page(uint64_t owner, uint64_t page)
{
	return stores[owner >> 1].words + page * WORDS;
}

static void store_begin(uint64_t owner, uint64_t page)
{
	cells_fill(stored_page(owner, page),
		   cells_program_base(stores[owner >> 1].first + (unsigned)page), 0);
}

static int store_fetch(uint64_t owner, uint64_t page, void *buf)
{
	sim_point();
	if (schedule.scarce && sim_random(50) == 0)
		return -EIO;
	memcpy(buf, stored_page(owner, page), UF_PAGE_SIZE);
	sim_point();
	return 0;
}

static int store_writeback(uint64_t owner, uint64_t page, const void *buf)
{
	sim_point();
	if (sim_random(20) == 0)
		return -EIO;
	memcpy(stored_page(owner, page), buf, UF_PAGE_SIZE);
	sim_point();
	return 0;
}

static void store_drop(const struct mm_place *first, uint64_t n)
{
	for (uint64_t i = first->page; i < first->page + n; i++)
		store_begin(first->owner, i);
}

/* -1: there were too many. */
static int64_t store_new(unsigned first, unsigned n)
{
	unsigned i = atomic_fetch_add(&nstores, 1);

	if (i >= MAX_STORES)
		return -1;
	stores[i].first = first;
	stores[i].words = calloc(n * WORDS, sizeof(uint64_t));
	for (unsigned k = 0; k < n; k++)
		store_begin((uint64_t)i << 1, k);
	return (int64_t)i << 1 | (cell_program_empty ? PROGRAM_EMPTY : 0);
}

/* ---- Model, or not --------------------------------------------------------------------------- */

static void begin(struct cell_op *op)
{
	if (!schedule.real)
		cells_begin(op);
}

static void end(struct cell_op *op, uint64_t done, enum model_result rest)
{
	if (!schedule.real)
		cells_end(op, done, rest);
}

/* ---- Beginning and end ----------------------------------------------------------------------- */

void cells_open(void)
{
	static const struct program_ops ops = {.fetch = store_fetch, .writeback = store_writeback};
	bool file = schedule.seed % 4 == 1;

	program_set_ops(&ops);
	atomic_store(&nstores, 0);
	atomic_store(&source_busy, 0);
	small_file = sim_file_new(file ? MACH_VMA_FILE : MACH_VMA_SHMEM, CELLS_SMALL, CELLS_SMALL,
				  UF_PAGE_SHIFT);
	huge_file = sim_file_new(MACH_VMA_HUGETLB, CELLS_HUGE * CELL_GROUP, CELLS_HUGE * CELL_GROUP,
				 21);
	atomic_store(&mm_space_self->options,
		     MM_OPTION_FILE_FAULTS | (schedule.seed % 2 ? MM_OPTION_MOVE_ANY : 0));
	if (!schedule.real)
		cells_start(schedule.tight, schedule.seed % 5 == 2);
	sim_mmap(HUGE_SOURCE, PAGES(CELL_GROUP), RW);
}

void cells_close(void)
{
	for (unsigned i = 0; i < MAX_STORES; i++) {
		free(stores[i].words);
		stores[i].words = NULL;
	}
	if (!schedule.real)
		cells_stop();
}

/* ---- Ranges ---------------------------------------------------------------------------------- */

static uint64_t addr_of(const struct cell_op *op)
{
	return cell_addr(op->first, op->place);
}

static uint64_t len_of(const struct cell_op *op)
{
	return PAGES(op->n * cell_pages(op->first));
}

static void say(const char *what, const struct cell_op *op, int64_t result)
{
	schedule_say(what, 1000 * (op->place + 1ull) + op->first, op->n, result);
}

/* ---- Fills ----------------------------------------------------------------------------------- */

static int64_t end_fill(struct cell_op *op, const char *what, int err, int64_t done)
{
	uint64_t cells = done > 0 ? (uint64_t)done / PAGES(cell_pages(op->first)) : 0;

	schedule_checked(err);
	say(what, op, err ? err : done);
	if (err == 0)
		CHECK_EQ(done, len_of(op));
	else if (cells)
		CHECK_EQ(err, -EAGAIN);
	else
		CHECK_EQ(done, err);
	end(op, cells, MODEL_NO);
	return done;
}

static bool source_taken(void *arg)
{
	(void)arg;
	return atomic_load(&source_busy);
}

/* Of huge pages there is one source for all. */
static uint64_t take_source(const struct cell_op *op)
{
	if (!cell_is_huge(op->first))
		return PAGE(SOURCES + (uint64_t)sim_self() * RUN);
	while (atomic_exchange(&source_busy, 1))
		sim_wait_while(source_taken, NULL, "waits for the source of huge pages");
	return HUGE_SOURCE;
}

static void give_source(const struct cell_op *op)
{
	if (cell_is_huge(op->first))
		atomic_store(&source_busy, 0);
}

/* Where the contents of the range that is to be copied stand; give_source afterwards. */
static uint64_t make_source(struct cell_op *op)
{
	uint64_t words[WORDS], source, pages = cell_pages(op->first);

	op->type = CELL_COPY;
	if (cell_is_huge(op->first))
		op->n = 1;
	op->base = atomic_fetch_add_explicit(&schedule.next_base, op->n, memory_order_relaxed);
	source = take_source(op);
	for (uint64_t i = 0; i < op->n * pages; i++) {
		cells_fill(words, op->base + (uint32_t)(i / pages), i % pages);
		sim_fill_native(source + PAGES(i), words);
	}
	return source;
}

int64_t do_cell_copy(struct slot *s, struct cell_op op, bool dontwake)
{
	uint64_t source = make_source(&op);
	int64_t done = 0;
	int err;

	op.wp &= (s->modes & MM_MODE_WP) != 0;
	begin(&op);
	err = front_copy(&s->u, addr_of(&op), source, len_of(&op),
			 (op.wp ? UF_COPY_MODE_WP : 0) | (dontwake ? UF_COPY_MODE_DONTWAKE : 0),
			 &done);
	give_source(&op);
	return end_fill(&op, "cell copy", err, done);
}

void do_cell_mcopy(struct cell_op op)
{
	uint64_t source, done = 0;
	int err;

	op.any = true;
	op.wp = false;
	/* First: who has the source waits for nobody who may wait for a handler, which may want it.
	 */
	shape_begin(true);
	source = make_source(&op);
	begin(&op);
	err = front_mcopy(addr_of(&op), source, len_of(&op), &done);
	give_source(&op);
	say("cell mcopy", &op, schedule_checked(err));
	CHECK(err != 0 || done == len_of(&op));
	end(&op, done / PAGES(cell_pages(op.first)), MODEL_NO);
	shape_end(true);
}

int64_t do_cell_zero(struct slot *s, struct cell_op op)
{
	int64_t done = 0;
	int err;

	op.type = CELL_ZERO;
	op.wp = false;
	begin(&op);
	err = front_zero(&s->u, addr_of(&op), len_of(&op), 0, &done);
	return end_fill(&op, "cell zero", err, done);
}

int64_t do_cell_continue(struct slot *s, struct cell_op op)
{
	int64_t done = 0;
	int err;

	op.type = CELL_CONTINUE;
	op.wp &= (s->modes & MM_MODE_WP) != 0;
	begin(&op);
	err = front_continue(&s->u, addr_of(&op), len_of(&op), op.wp ? UF_CONTINUE_MODE_WP : 0,
			     &done);
	return end_fill(&op, "cell continue", err, done);
}

int64_t do_cell_poison(struct slot *s, struct cell_op op)
{
	int64_t done = 0;
	int err;

	op.type = CELL_SET_POISON;
	op.wp = false;
	begin(&op);
	err = front_poison(&s->u, addr_of(&op), len_of(&op), 0, &done);
	return end_fill(&op, "cell poison", err, done);
}

void do_cell_move(struct slot *s, struct cell_op op)
{
	int64_t done = 0;
	int err;

	op.type = CELL_MOVE;
	op.owner = s->owner;
	begin(&op);
	err = front_move(&s->u, cell_addr(op.first, op.to), addr_of(&op), len_of(&op),
			 op.holes ? UF_MOVE_MODE_ALLOW_SRC_HOLES : 0, &done);
	end_fill(&op, "cell move", err, done);
}

/* ---- Protection and registration ------------------------------------------------------------- */

int do_cell_protect(struct slot *s, struct cell_op op, bool rwp, bool set)
{
	int err;

	if (rwp)
		op.type = set ? CELL_SET_RWP : CELL_CLEAR_RWP;
	else
		op.type = set ? CELL_SET_WP : CELL_CLEAR_WP;
	begin(&op);
	err = schedule_checked((rwp ? front_rwp : front_wp)(&s->u, addr_of(&op), len_of(&op), set));
	say(rwp ? set ? "cell rwp" : "cell unrwp" : set ? "cell wp" : "cell unwp", &op, err);
	if (err == -ENOENT || err == -ENOMEM)
		end(&op, 0, MODEL_MAYBE);
	else
		end(&op, err ? 0 : op.n, MODEL_NO);
	return err;
}

void do_cell_register(struct slot *s, struct cell_op op)
{
	enum cell_backing b = cell_backing(op.first, op.place);
	bool file = b == CELL_SHARED || b == CELL_PRIVATE;
	int err;

	op.type = CELL_REGISTER;
	op.owner = s->owner;
	op.modes = (uint8_t)(s->modes | (file ? s->minor : 0));
	begin(&op);
	err = schedule_checked(front_register(&s->u, addr_of(&op), len_of(&op), op.modes));
	say("cell register", &op, err);
	end(&op, err ? 0 : op.n, err == -ENOMEM ? MODEL_MAYBE : MODEL_NO);
}

void do_cell_unregister(struct slot *s, struct cell_op op)
{
	int err;

	op.type = CELL_UNREGISTER;
	op.owner = s->owner;
	begin(&op);
	err = schedule_checked(front_unregister(&s->u, addr_of(&op), len_of(&op)));
	say("cell unregister", &op, err);
	end(&op, err ? 0 : op.n, err == -ENOMEM ? MODEL_MAYBE : MODEL_NO);
}

/* ---- Accesses -------------------------------------------------------------------------------- */

struct view {
	unsigned cell, place;
};

static const uint64_t *words_at(const void *arg, uint64_t page)
{
	const struct view *v = arg;
	const uint64_t *words = sim_peek(cell_addr(v->cell, v->place) + PAGES(page));

	CHECK(words);
	return words;
}

static void accessed(const struct view *v, bool write, unsigned slot)
{
	struct cell_contents seen;

	cells_look(v->cell, words_at, v, &seen);
	if (write)
		cells_stored(v->cell, v->place, slot, &seen);
	else
		cells_loaded(v->cell, v->place, &seen);
}

static void explain_signal(const struct cell_access *a, bool allowed, const char *which)
{
	if (allowed)
		return;
	cells_explain(a->cell);
	sim_fail("cell %u at %u: a %s from nowhere", a->cell, a->place, which);
}

/* By the program itself, or by a system call, which fails with EFAULT instead. */
static enum sim_outcome access_word(uint64_t addr, bool write, bool kernel, uint64_t *value)
{
	if (!kernel)
		return write ? sim_store(addr, *value) : sim_load(addr, value);
	return (write ? mach_copy_out(addr, value, sizeof(*value))
		      : mach_copy_in(value, addr, sizeof(*value)))
		       ? SIM_GOT_SEGV
		       : SIM_OK;
}

void do_cell_access(unsigned cell, unsigned place, bool write)
{
	unsigned slot = (unsigned)sim_random(MODEL_SLOTS);
	bool kernel = sim_random(8) == 0, short_of = schedule.tight || schedule.scarce;
	uint64_t offset = slot ? PAGES(cell_pages(cell)) - sizeof(uint64_t) : 0, value;
	struct view v = {cell, place};
	enum sim_outcome outcome;
	struct cell_access a;

	if (!write && sim_random(3) == 0)
		offset = sim_random(cell_pages(cell) * WORDS) * sizeof(uint64_t);
	value = STORED | atomic_fetch_add_explicit(&schedule.next_value, 1, memory_order_relaxed);
	if (!schedule.real)
		cells_access_begin(&a, cell, place, write);
	outcome = access_word(cell_addr(cell, place) + offset, write, kernel, &value);
	if (schedule.real)
		return;
	if (outcome == SIM_OK)
		accessed(&v, write, slot);
	cells_access_end(&a);
	schedule_say(write ? "cell store" : "cell load", 1000 * (place + 1ull) + cell, slot,
		     outcome);
	if (kernel && outcome != SIM_OK && (a.could_bus || short_of))
		return;
	if (outcome == SIM_GOT_SEGV)
		explain_signal(&a, a.could_segv, "SIGSEGV");
	if (outcome == SIM_GOT_BUS)
		explain_signal(&a, a.could_bus || short_of, "SIGBUS");
}

void do_cell_populate(struct cell_op op, bool write)
{
	int err;

	for (unsigned i = 0; !schedule.real && i < op.n; i++)
		cells_touch(op.first + i, op.place, write, true);
	err = front_populate(addr_of(&op), len_of(&op), write);
	say("cell populate", &op, err);
	for (unsigned i = 0; !schedule.real && i < op.n; i++)
		cells_touch(op.first + i, op.place, write, false);
}

/* ---- Mappings -------------------------------------------------------------------------------- */

static void discard(struct cell_op *op)
{
	struct mach_entry e;
	int err;

	begin(op);
	mach_enter(&e);
	err = mm_discard(mm_space_self, &mm_type_program, addr_of(op), len_of(op), store_drop);
	mach_leave(&e);
	say("cell discard", op, schedule_checked(err));
	end(op, err ? 0 : op->n, err == -ENOMEM ? MODEL_MAYBE : MODEL_NO);
}

void do_cell_zap(struct cell_op op)
{
	int err;

	op.type = CELL_ZAP;
	shape_begin(false);
	if (cell_backing(op.first, op.place) == CELL_PROGRAM) {
		discard(&op);
		shape_end(false);
		return;
	}
	begin(&op);
	err = schedule_checked(front_zap(addr_of(&op), len_of(&op)));
	say("cell zap", &op, err);
	CHECK(err == 0 || err == -ENOMEM);
	end(&op, err ? 0 : op.n, MODEL_NO);
	shape_end(false);
}

void do_cell_pageout(struct cell_op op)
{
	front_pageout(addr_of(&op), len_of(&op));
	say("cell pageout", &op, 0);
}

static int protect(struct cell_op *op, uint32_t prot)
{
	int err;

	op->type = CELL_PROTECT;
	op->prot = (uint8_t)prot;
	begin(op);
	err = schedule_checked(front_mprotect(addr_of(op), len_of(op), prot));
	say("cell mprotect", op, err);
	CHECK(err == 0 || err == -ENOMEM);
	end(op, err ? 0 : op->n, MODEL_NO);
	return err;
}

void do_cell_mprotect(struct cell_op op, uint32_t prot)
{
	shape_begin(false);
	(void)protect(&op, prot);
	shape_end(false);
}

static int unmap(struct cell_op *op)
{
	int err;

	op->type = CELL_UNMAP;
	begin(op);
	err = schedule_checked(front_munmap(addr_of(op), len_of(op)));
	say("cell unmap", op, err);
	CHECK(err == 0 || err == -ENOMEM);
	end(op, err ? 0 : op->n, MODEL_NO);
	return err;
}

/*
 * A page that somebody touches before it is the type's would be neither: first it cannot be
 * touched.
 */
static int map_program(struct cell_op *op)
{
	int64_t owner = store_new(op->first, op->n);
	struct mach_entry e;
	int err;

	if (owner < 0)
		return 0;
	op->type = CELL_MAP;
	op->prot = 0;
	begin(op);
	err = front_mmap(addr_of(op), len_of(op), 0);
	end(op, err ? 0 : op->n, MODEL_NO);
	if (err)
		return schedule_checked(err);
	mach_enter(&e);
	err = mm_manage(mm_space_self, &mm_type_program, (uint64_t)owner, addr_of(op), len_of(op));
	mach_leave(&e);
	say("cell manage", op, schedule_checked(err));
	CHECK(err == 0 || err == -ENOMEM);
	return err ? err : protect(op, RW);
}

static int map(struct cell_op *op)
{
	enum cell_backing b = cell_backing(op->first, op->place);
	bool huge = cell_is_huge(op->first);
	uint64_t page = huge ? (op->first - CELLS_SMALL) * CELL_GROUP : op->first;
	int err;

	if (b == CELL_PROGRAM)
		return map_program(op);
	op->type = CELL_MAP;
	op->prot = RW;
	begin(op);
	if (b == CELL_ANON)
		err = front_mmap(addr_of(op), len_of(op), RW);
	else
		err = front_mmap_file(addr_of(op), len_of(op), RW, b == CELL_SHARED,
				      huge ? huge_file : small_file, page);
	say("cell map", op, schedule_checked(err));
	CHECK(err == 0 || err == -ENOMEM);
	end(op, err ? 0 : op->n, MODEL_NO);
	return err;
}

/* Where memory is short, it may come back. */
void do_cell_map(struct cell_op op)
{
	enum cell_backing b = cell_backing(op.first, op.place);

	shape_begin(true);
	if (b == CELL_PROGRAM || sim_random(2))
		while (unmap(&op) != 0)
			mach_relax();
	while (map(&op) != 0)
		mach_relax();
	shape_end(true);
}

void do_cell_unmap(struct cell_op op)
{
	shape_begin(true);
	while (unmap(&op) != 0)
		mach_relax();
	shape_end(true);
}

void do_cell_remap(struct cell_op op)
{
	struct cell_op clear = {.type = CELL_UNMAP, .place = op.to, .first = op.first, .n = op.n};
	struct cell_op reserve = {.type = CELL_MAP, .place = op.to, .first = op.first, .n = op.n};
	struct cell_op fill = {.place = op.to, .first = op.first, .n = op.n};
	uint64_t to = cell_addr(op.first, op.to), result;
	int err;

	op.type = CELL_REMAP;
	shape_begin(true);
	if (schedule.tight) {
		begin(&clear);
		begin(&reserve);
	}
	begin(&op);
	err = front_mremap(addr_of(&op), len_of(&op), len_of(&op),
			   MREMAP_MAYMOVE | MREMAP_FIXED | (op.keeps ? MREMAP_DONTUNMAP : 0), to,
			   &result);
	say("cell remap", &op, schedule_checked(err));
	CHECK(err == 0 || err == -EFAULT || err == -ENOMEM);
	end(&op, err ? 0 : op.n, err == -ENOMEM ? MODEL_MAYBE : MODEL_NO);
	if (schedule.tight) {
		end(&clear, 0, MODEL_MAYBE);
		end(&reserve, 0, MODEL_MAYBE);
	}
	/* What is not mapped any more, or not what it was, is mapped anew. */
	if (!err && !op.keeps)
		while (map(&op) != 0)
			mach_relax();
	if (err == -ENOMEM)
		while (map(&fill) != 0)
			mach_relax();
	shape_end(true);
}

/* ---- Files ----------------------------------------------------------------------------------- */

struct change {
	struct sim_file *file;
	uint64_t page, n;
};

static int truncate_now(void *arg)
{
	const struct change *c = arg;

	return sim_file_truncate(c->file, c->page);
}

static int punch_now(void *arg)
{
	const struct change *c = arg;

	return sim_file_punch(c->file, c->page, c->n);
}

static struct change change_of(const struct cell_op *op)
{
	bool huge = cell_is_huge(op->first);
	uint64_t pages = cell_pages(op->first);

	return (struct change){.file = huge ? huge_file : small_file,
			       .page = (op->first - (huge ? CELLS_SMALL : 0)) * pages,
			       .n = op->n * pages};
}

/* Cut off, or grown, to so many cells. */
void do_cell_truncate(bool huge, unsigned left)
{
	unsigned first = huge ? CELLS_SMALL : 0, all = huge ? CELLS : CELLS_SMALL;
	struct cell_op grow = {.type = CELL_GROW, .first = first, .n = left};
	struct cell_op cut = {
		.type = CELL_TRUNCATE, .first = first + left, .n = all - first - left};
	struct change c = {.file = huge ? huge_file : small_file, .page = left * cell_pages(first)};
	struct mach_entry e;
	uint64_t dev, ino;
	int err;

	sim_file_id(c.file, &dev, &ino);
	begin(&cut);
	begin(&grow);
	mach_enter(&e);
	err = mm_file_change(mm_space_self, dev, ino, c.page, UINT64_MAX, true, truncate_now, &c);
	mach_leave(&e);
	say("cell truncate", &cut, err);
	CHECK_EQ(err, 0);
	end(&cut, cut.n, MODEL_NO);
	end(&grow, grow.n, MODEL_NO);
}

static int punch_file(const struct cell_op *op)
{
	struct change c = change_of(op);
	struct mach_entry e;
	uint64_t dev, ino;
	int err;

	sim_file_id(c.file, &dev, &ino);
	mach_enter(&e);
	err = mm_file_change(mm_space_self, dev, ino, c.page, c.n, false, punch_now, &c);
	mach_leave(&e);
	CHECK_EQ(err, 0);
	return err;
}

static bool all_managed(const struct cell_op *op)
{
	for (unsigned i = 0; i < op->n; i++)
		if (!sim_is_managed(cell_addr(op->first + i, op->place)))
			return false;
	return true;
}

/* fallocate, or MADV_REMOVE of a view, which may be refused half-way. */
void do_cell_punch(struct cell_op op)
{
	int err;

	op.type = CELL_PUNCH;
	shape_begin(false);
	begin(&op);
	if (cell_backing(op.first, op.place) == CELL_SHARED && all_managed(&op))
		err = front_remove(addr_of(&op), len_of(&op));
	else
		err = punch_file(&op);
	say("cell punch", &op, err);
	CHECK(err == 0 || err == -EACCES || schedule_checked(err) == -ENOMEM);
	end(&op, err ? 0 : op.n, MODEL_MAYBE);
	shape_end(false);
}

static const uint64_t *same_words(const void *arg, uint64_t page)
{
	(void)page;
	return arg;
}

/* read(2) and write(2) beside all mappings. */
void do_cell_file(unsigned cell, bool write)
{
	struct cell_op op = {.type = CELL_WRITE, .first = cell, .n = 1};
	struct change c = change_of(&op);
	struct cell_contents seen;
	uint64_t words[WORDS];
	bool done;

	if (cell_is_huge(cell))
		return;
	if (!write) {
		done = sim_file_read(c.file, c.page, words);
		if (!done || schedule.real)
			return;
		cells_look(cell, same_words, words, &seen);
		cells_read(cell, &seen);
		return;
	}
	op.base = atomic_fetch_add_explicit(&schedule.next_base, 1, memory_order_relaxed);
	cells_fill(words, op.base, 0);
	begin(&op);
	done = sim_file_write(c.file, c.page, words);
	say("cell write", &op, done);
	end(&op, done, MODEL_NO);
}

/* ---- Looking --------------------------------------------------------------------------------- */

struct contents_at {
	uint64_t addr, owner, page; /* of the program's type: where it is saved */
	const struct sim_file *file;
	bool program;
};

static const uint64_t *contents_at(const void *arg, uint64_t page)
{
	const struct contents_at *at = arg;
	const uint64_t *words = front_contents(at->addr + PAGES(page));

	if (!words && at->program)
		words = stored_page(at->owner, at->page);
	CHECK(words);
	return words;
}

static const uint64_t *file_at(const void *arg, uint64_t page)
{
	const struct change *c = arg;

	return sim_file_peek(c->file, c->page + page);
}

static void look_at_contents(unsigned cell, unsigned place, struct cell_place *seen)
{
	struct contents_at at = {.addr = cell_addr(cell, place)};
	struct mm_place saved;
	struct mach_entry e;

	mach_enter(&e);
	at.program = mm_place(mm_space_self, &mm_type_program, at.addr, &saved) == 0;
	mach_leave(&e);
	at.owner = saved.owner;
	at.page = saved.page;
	cells_look(cell, contents_at, &at, &seen->own);
}

/* False: there is no memory to look with. */
static bool look_at_place(unsigned cell, unsigned place, struct cell_place *seen)
{
	enum cell_backing b = cell_backing(cell, place);
	uint64_t addr = cell_addr(cell, place), word;
	bool file = b == CELL_SHARED || b == CELL_PRIVATE;
	struct mm_scan_page scan;
	struct mm_area_info area;

	if (!sim_is_mapped(addr))
		return true;
	seen->mapped = 1;
	if (!schedule_area(addr, &area)) {
		CHECK(!sim_is_managed(addr));
		seen->prot = (uint8_t)sim_tlb(addr);
		seen->kind = (file ? sim_file_mapped(addr) : sim_peek(addr) != NULL) ? MODEL_PRESENT
										     : MODEL_EMPTY;
	} else {
		if (!front_pagemap(addr, &word) || !front_scan(addr, &scan)) {
			CHECK(schedule.tight);
			return false;
		}
		seen->prot = (uint8_t)area.prot;
		seen->modes = (uint8_t)area.modes;
		seen->kind = word & PM_PRESENT	     ? MODEL_PRESENT
			     : word & PM_WP	     ? MODEL_MARKED
			     : front_is_poison(addr) ? MODEL_POISON
						     : MODEL_EMPTY;
		seen->wp = seen->kind == MODEL_PRESENT && (word & PM_WP);
		seen->rwp = seen->kind == MODEL_PRESENT && (area.modes & MM_MODE_RWP) &&
			    !(scan.categories & SCAN_ACCESSED);
	}
	seen->copy = b == CELL_PRIVATE && sim_file_copied(addr);
	if (seen->kind == MODEL_PRESENT && (!file || seen->copy))
		look_at_contents(cell, place, seen);
	return true;
}

void cells_look_at(unsigned cell)
{
	struct cell_op op = {.first = cell, .n = 1};
	struct change c = change_of(&op);
	struct cell_state seen;

	memset(&seen, 0, sizeof(seen));
	seen.inside = c.page < sim_file_size(c.file);
	seen.there = sim_file_peek(c.file, c.page) != NULL;
	if (seen.there)
		cells_look(cell, file_at, &c, &seen.file);
	for (unsigned p = 0; p < CELL_PLACES; p++)
		if (cell_backing(cell, p) && !look_at_place(cell, p, &seen.place[p]))
			return;
	cells_sight(cell, &seen);
}
