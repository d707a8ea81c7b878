/* workers.c - the threads of the random program: those that use memory and those that answer. */
#include "cell-operations.h"
#include "schedules.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Answers that a handler still owes. */
#define OWED 64

struct owed {
	uint64_t addr, flags;
};

struct handler {
	struct slot *slot;
	uint8_t owner; /* who the debts are for */
	struct owed owed[OWED];
	unsigned n;
};

static struct handler handlers[SLOTS * READERS];

void schedule_say(const char *what, uint64_t page, uint64_t n, int64_t result)
{
	sim_note((uint64_t)result);
	if (schedule.replay)
		printf("%8llu thread %u: %s %llu %llu: %lld\n", (unsigned long long)sim_points(),
		       sim_self(), what, (unsigned long long)page, (unsigned long long)n,
		       (long long)result);
}

/* ---- Looking -------------------------------------------------------------------------------- */

bool schedule_area(uint64_t addr, struct mm_area_info *info)
{
	struct mach_entry e;
	bool found = false;

	mach_enter(&e);
	for (uint32_t i = 0; !found && mm_area_info(mm_space_self, i, info) == 0; i++)
		found = info->start <= addr && addr < info->end;
	mach_leave(&e);
	return found;
}

static enum model_kind kind_of(uint64_t word)
{
	if (word & PM_PRESENT)
		return MODEL_PRESENT;
	if (word & PM_SWAP)
		return word & PM_WP ? MODEL_MARKED : MODEL_POISON;
	return MODEL_EMPTY;
}

static void look_at(uint64_t page)
{
	const uint64_t *words = front_contents(AT(page));
	struct model_sight seen = {.mapped = sim_is_mapped(AT(page)),
				   .managed = sim_is_managed(AT(page))};
	struct mm_scan_page scan;
	struct mm_area_info area;
	uint64_t word;

	if (schedule_area(AT(page), &area) != seen.managed)
		sim_fail("page %#llx: the mm and the machine disagree on whose it is",
			 (unsigned long long)AT(page));
	if (seen.managed) {
		if (!front_pagemap(AT(page), &word) || !front_scan(AT(page), &scan)) {
			CHECK(schedule.tight);
			return;
		}
		seen.prot = area.prot;
		seen.modes = area.modes;
		seen.kind = kind_of(word);
		seen.wp = seen.kind == MODEL_PRESENT && (word & PM_WP);
		seen.rwp = seen.kind == MODEL_PRESENT && (area.modes & MM_MODE_RWP) &&
			   !(scan.categories & SCAN_ACCESSED);
	} else {
		seen.prot = sim_tlb(AT(page));
		seen.kind = words ? MODEL_PRESENT : MODEL_EMPTY;
	}
	if (seen.managed && words && seen.kind != MODEL_PRESENT)
		sim_fail("page %#llx is gone, its contents are not", (unsigned long long)AT(page));
	seen.has_contents = seen.kind == MODEL_PRESENT;
	if (seen.has_contents) {
		CHECK(words);
		model_look(page, words, &seen.contents);
	}
	model_sight(page, &seen);
}

/* Nobody waits that has gone away. */
static void check_waiters(void)
{
	unsigned unread, all;

	for (unsigned i = 0; i < SLOTS; i++) {
		if (atomic_load(&schedule.slots[i].u.users) == 0)
			continue;
		front_pending(&schedule.slots[i].u, &unread, &all);
		CHECK(unread <= all && all <= schedule.threads);
	}
}

void schedule_look(void)
{
	uint64_t points = sim_points();

	if (points % 8 == 0)
		look_at(points / 8 * 7 % SPACE);
	if (points % 8 == 4)
		cells_look_at((unsigned)(points / 8 * 5 % CELLS));
	if (points % 64 == 0) {
		front_check();
		check_waiters();
	}
}

/* ---- Handlers ------------------------------------------------------------------------------- */

static void owe(struct handler *h, uint64_t addr, uint64_t flags)
{
	if (h->n == OWED) {
		memmove(h->owed, h->owed + 1, (OWED - 1) * sizeof(h->owed[0]));
		h->n--;
	}
	h->owed[h->n++] = (struct owed){addr, flags};
}

/* Fill a page that is missing, and perhaps its neighbours. */
static int64_t answer_missing(struct slot *s, uint64_t page, bool dontwake)
{
	uint64_t n = 1 + sim_random(3), what = sim_random(40);

	if (page + n > SPACE || sim_random(2))
		n = 1;
	if (what == 0)
		return do_poison(s, page, 1);
	if (what < 10)
		return do_zero(s, page, n, dontwake);
	return do_copy(s, page, n, sim_random(3) == 0, dontwake);
}

/* Answer rightly: whatever stands there now, the thread goes on or asks anew. Not yet: false. */
static bool answer(struct slot *s, uint64_t addr, uint64_t flags, bool dontwake)
{
	uint64_t page = (addr - AT(0)) / UF_PAGE_SIZE;
	unsigned cell, place;
	int64_t result;

	if (cell_find(addr, &cell, &place))
		return cells_answer(s, cell, place, flags, dontwake);
	CHECK(page < SPACE);
	if (flags & UF_PAGEFAULT_FLAG_WP)
		result = do_protect(s, page, 1, false, false);
	else if (flags & UF_PAGEFAULT_FLAG_RWP)
		result = do_protect(s, page, 1, true, false);
	else
		result = answer_missing(s, page, dontwake);
	if (result == -EAGAIN)
		return false;
	if (result < 0)
		CHECK_EQ(front_wake(&s->u, AT(page), PAGES(1)), 0);
	return true;
}

/* One way to get it wrong. What is wrong now is made good later. */
static void answer_badly(struct handler *h, uint64_t addr, uint64_t flags)
{
	struct slot *s = h->slot;

	switch (sim_random(5)) {
	case 0:
		CHECK_EQ(front_wake(&s->u, addr & UF_PAGE_MASK, PAGES(1)), 0);
		return;
	case 1: /* filled and not woken */
		answer(s, addr, flags, true);
		break;
	case 2: /* another page */
		answer(s, AT(sim_random(SPACE)), flags, false);
		break;
	case 3: /* the wrong kind */
		answer(s, addr, flags ^ UF_PAGEFAULT_FLAG_WP, false);
		break;
	case 4: /* twice */
		answer(s, addr, flags, false);
		answer(s, addr, flags, false);
		break;
	}
	owe(h, addr, flags);
}

static void handle(struct handler *h, const struct uf_msg *msg)
{
	uint64_t addr, flags;

	if (msg->event != UF_EVENT_PAGEFAULT) {
		atomic_fetch_add_explicit(&schedule.events, 1, memory_order_relaxed);
		schedule_say("event", msg->event, msg->arg.reserved.reserved1, 0);
		return;
	}
	atomic_fetch_add_explicit(&schedule.faults, 1, memory_order_relaxed);
	addr = msg->arg.pagefault.address;
	flags = msg->arg.pagefault.flags;
	schedule_say("fault", (addr - AT(0)) / UF_PAGE_SIZE, flags, h->slot->owner);
	if (sim_random(4) == 0)
		answer_badly(h, addr, flags);
	else if (sim_random(8) == 0 || !answer(h->slot, addr, flags, false))
		owe(h, addr, flags);
}

int schedule_callback(const struct mm_fault *fault, void *slot)
{
	atomic_fetch_add_explicit(&schedule.faults, 1, memory_order_relaxed);
	if (sim_random(20) == 0)
		return -EIO;
	(void)answer(slot, fault->page, fault->flags, false);
	return 0;
}

static void pay(struct handler *h)
{
	struct owed o = h->owed[0];

	memmove(h->owed, h->owed + 1, (h->n - 1) * sizeof(h->owed[0]));
	h->n--;
	if (!answer(h->slot, o.addr, o.flags, false))
		owe(h, o.addr, o.flags);
	else
		CHECK_EQ(front_wake(&h->slot->u, o.addr & UF_PAGE_MASK, PAGES(1)), 0);
}

static bool slot_is_closed(void *arg)
{
	struct slot *s = arg;

	return !atomic_load(&schedule.stop) &&
	       (atomic_load(&s->u.stop) || atomic_load(&s->u.users) == 0);
}

static void handler_turn(struct handler *h)
{
	struct front_uffd *u = &h->slot->u;
	struct uf_msg msg;

	if (h->owner != h->slot->owner)
		h->n = 0;
	h->owner = h->slot->owner;
	if (h->n && sim_random(3) == 0)
		pay(h);
	else if (h->n ? front_read(u, &msg) : front_wait(u, &msg))
		handle(h, &msg);
	else
		mach_relax();
}

static void handler_body(void *arg)
{
	struct handler *h = arg;

	while (!atomic_load(&schedule.stop)) {
		if (front_get(&h->slot->u)) {
			handler_turn(h);
			front_put(&h->slot->u);
		} else {
			sim_wait_while(slot_is_closed, h->slot, "waits for a descriptor");
		}
	}
}

/* ---- Workers -------------------------------------------------------------------------------- */

static void reopen(struct slot *s)
{
	if (atomic_exchange(&s->busy, true))
		return;
	atomic_fetch_add_explicit(&schedule.closes, 1, memory_order_relaxed);
	do_close(s);
	do_open(s);
	atomic_store(&s->busy, false);
}

/* As a poll with a timeout: it looks, and goes away without reading. */
static void glance(struct slot *s)
{
	uffd_spin_begin(s->u.ref);
	for (uint64_t i = sim_random(20); i; i--)
		mach_relax();
	uffd_spin_end(s->u.ref);
}

/* With a descriptor. */
static void use_slot(struct slot *s, uint64_t page, uint64_t n)
{
	bool rwp = s->modes & MM_MODE_RWP;

	switch (sim_random(8)) {
	case 0:
		if (sim_random(3) == 0)
			do_unregister(s, page, n);
		break;
	case 1:
	case 2:
	case 3:
		do_protect(s, page, n, rwp, true);
		break;
	case 4:
		do_protect(s, page, n, rwp, false);
		break;
	case 5:
		do_copy(s, page, n, sim_random(2), sim_random(4) == 0);
		break;
	case 6:
		do_zero(s, page, n, false);
		break;
	case 7:
		CHECK_EQ(front_wake(&s->u, AT(page), PAGES(n)), 0);
		do_set_mode(s);
		glance(s);
		break;
	}
}

static void register_some(struct slot *s, uint64_t page, uint64_t n)
{
	shape_begin(true);
	if (front_get(&s->u)) {
		do_register(s, page, n);
		front_put(&s->u);
	}
	shape_end(true);
}

static void move_some(struct slot *s, uint64_t page, uint64_t n, uint64_t other)
{
	bool change;

	if (page + n > other && other + n > page)
		return;
	change = shape_for_move(other, n);
	if (front_get(&s->u)) {
		do_move(s, page, other, n, sim_random(2));
		front_put(&s->u);
	}
	shape_end(change);
}

static void map_something(uint64_t page, uint64_t n, uint64_t other)
{
	switch (sim_random(12)) {
	case 0:
	case 1:
	case 2:
	case 3:
		do_zap(page, n);
		break;
	case 4:
	case 5:
		(void)do_map(page, n, RW);
		break;
	case 6:
		(void)do_unmap(page, n);
		(void)do_map(page, n, RW);
		break;
	case 7:
		do_mprotect(page, n, UF_PROT_READ);
		break;
	case 8:
		if (sim_random(2))
			do_mprotect(page, n, 0);
		else
			do_populate(page, n, sim_random(2));
		break;
	case 9:
		if (sim_random(4) == 0)
			do_fork();
		else
			do_mprotect(page, n, RW);
		break;
	case 10:
		if (n > 1) {
			do_shrink(page, n, 1);
			(void)do_map(page + 1, n - 1, RW);
		}
		break;
	case 11:
		if (page + n <= other || other + n <= page) {
			bool keep = sim_random(3) == 0;

			do_remap(page, other, n, keep);
			if (!keep)
				(void)do_map(other, n, RW);
		}
		break;
	}
}

/*
 * Most of what could be asked for at random is refused. Look for a place where it makes sense, not
 * too hard: refusals are part of it.
 */
static uint64_t page_for(const struct slot *s, enum model_kind kind, uint64_t n)
{
	uint64_t page = sim_random(SPACE - n);

	for (unsigned i = 0; !schedule.real && i < 6; i++) {
		const struct model_state *g = model_guess(page);

		if (g->mapped && g->kind == kind && (!s || g->owner == s->owner))
			break;
		page = sim_random(SPACE - n);
	}
	return page;
}

/* What kind of program it is, of 1000 turns. */
static const struct mood {
	unsigned access, change, reopen, enrol, move;
} moods[] = {
	{600, 120, 5, 60, 30},	 /* a bit of everything */
	{500, 60, 0, 10, 130},	 /* a pager: mappings stay */
	{400, 330, 10, 120, 20}, /* mappings come and go */
	{700, 60, 20, 80, 40},	 /* descriptors come and go */
};

static void worker_turn(void)
{
	const struct mood *mood = &moods[schedule.seed / 3 % (sizeof(moods) / sizeof(*moods))];
	uint64_t n = 1 + sim_random(sim_random(4) ? 2 : RUN), page = sim_random(SPACE - n);
	struct slot *s = &schedule.slots[sim_random(SLOTS)];
	uint64_t what = sim_random(1000);

	if (what < mood->access) {
		do_access(sim_random(SPACE), sim_random(2));
		return;
	}
	if ((what -= mood->access) < mood->change) {
		map_something(page, n, sim_random(SPACE - n));
		return;
	}
	if ((what -= mood->change) < mood->reopen) {
		reopen(s);
		return;
	}
	if ((what -= mood->reopen) < mood->enrol) {
		n = sim_random(2) ? n : SPACE / 2 - 1;
		register_some(s, sim_random(SPACE - n), n);
		return;
	}
	if ((what -= mood->enrol) < mood->move) {
		move_some(s, page_for(s, MODEL_EMPTY, n), n, page_for(NULL, MODEL_PRESENT, n));
		return;
	}
	if (sim_random(6) == 0) {
		do_zap(page_for(s, MODEL_PRESENT, n), n);
	} else if (sim_random(8) == 0) {
		if (sim_random(4))
			do_pageout(page_for(s, MODEL_PRESENT, n), n);
		else
			do_limit(page);
	} else if (front_get(&s->u)) {
		use_slot(s, page_for(s, sim_random(3) ? MODEL_PRESENT : MODEL_EMPTY, n), n);
		front_put(&s->u);
	}
}

static void worker_body(void *arg)
{
	(void)arg;
	while (atomic_fetch_add_explicit(&schedule.done, 1, memory_order_relaxed) < schedule.steps)
		(sim_random(2) ? worker_turn : cells_turn)();
	atomic_fetch_sub(&schedule.working, 1);
}

/* ---- The run -------------------------------------------------------------------------------- */

static bool at_work(void *arg)
{
	(void)arg;
	return atomic_load(&schedule.working) != 0;
}

/* Everybody was answered, or the workers would not be done: take it all down. */
static void main_body(void *arg)
{
	unsigned first = sim_self() + 1;

	(void)arg;
	sim_mmap(PAGE(SOURCES), PAGES(SOURCED - SOURCES), RW);
	sim_mmap(PAGE(0), PAGES(FIRST), RW);
	sim_mmap(AT(SPACE), PAGE(WHOLE) - AT(SPACE), RW);
	while (front_policy((unsigned)schedule.seed) != 0)
		mach_relax();
	while (do_map(0, SPACE, RW) != 0)
		mach_relax();
	for (unsigned place = 0; place < CELL_PLACES; place++) {
		do_cell_map((struct cell_op){.place = place, .n = CELLS_SMALL});
		if (cell_backing(CELLS_SMALL, place))
			do_cell_map((struct cell_op){
				.place = place, .first = CELLS_SMALL, .n = CELLS_HUGE});
	}
	for (unsigned i = 0; i < SLOTS; i++)
		do_open(&schedule.slots[i]);
	if (schedule.seed % 2)
		do_register_whole(&schedule.slots[0]);
	for (unsigned i = 0; i < SLOTS; i++)
		do_register(&schedule.slots[i], SPACE / SLOTS * i, SPACE / SLOTS - 4);
	atomic_store(&schedule.stop, false);
	sim_wait_while(at_work, NULL, "waits for the workers");
	CHECK_EQ(front_limit(0, 0), 0);
	atomic_store(&schedule.stop, true);
	for (unsigned i = 0; i < SLOTS; i++)
		do_close(&schedule.slots[i]);
	for (unsigned place = 0; place < CELL_PLACES; place++) {
		do_cell_unmap((struct cell_op){.place = place, .n = CELLS_SMALL});
		if (cell_backing(CELLS_SMALL, place))
			do_cell_unmap((struct cell_op){
				.place = place, .first = CELLS_SMALL, .n = CELLS_HUGE});
	}
	while (do_unmap(0, SPACE) != 0 || front_munmap(PAGE(0), PAGES(WHOLE)) != 0)
		mach_relax();
	for (unsigned i = first; i < first + SLOTS * READERS; i++)
		sim_join(i);
}

static bool not_ready(void *arg)
{
	(void)arg;
	return atomic_load(&schedule.stop);
}

static void after_start(void *fn)
{
	sim_wait_while(not_ready, NULL, "waits for the start");
	worker_body(fn);
}

static void handler_after_start(void *arg)
{
	sim_wait_while(not_ready, NULL, "waits for the start");
	handler_body(arg);
}

void schedule_spawn(void)
{
	memset(handlers, 0, sizeof(handlers));
	memset(schedule.slots, 0, sizeof(schedule.slots));
	atomic_store(&schedule.stop, true);
	atomic_store(&schedule.working, schedule.threads);
	atomic_store(&schedule.next_base, 1);
	atomic_store(&schedule.next_value, 1);
	atomic_store(&schedule.opened, 0);
	cells_open();
	sim_spawn("main", main_body, NULL);
	for (unsigned i = 0; i < SLOTS * READERS; i++) {
		handlers[i].slot = &schedule.slots[i % SLOTS];
		sim_spawn("handler", handler_after_start, &handlers[i]);
	}
	for (unsigned i = 0; i < schedule.threads; i++)
		sim_spawn("worker", after_start, NULL);
}
