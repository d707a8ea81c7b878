/*
 * reclaim.c - pages leave memory: a hand goes over the areas, the policy says which.
 *
 * A hand moves from leaf to leaf. What it finds in one leaf is judged and leaves with that leaf
 * locked, so that threads that need room at the same time work on different leaves. A page is
 * closed, its contents saved, its entry turned into a swap entry with the same marks, its frame
 * given back: whoever faults on it meanwhile waits for the leaf, and then draws it in.
 *
 * Contents of a type with a writeback operation are saved by code that is not ours and may fault.
 * That runs on a copy, without the space and the leaf, with the entry MM_BUSY: if the page was
 * touched meanwhile it is open again and not BUSY, and stays.
 *
 * Progress: pages that were asked for last do not leave while others can, so what a thread's last
 * faults brought in is still there when its instruction starts again. After some turns in which
 * the policy let too few pages go, it is overruled. A page that others keep calling back while it
 * is saved is held in the end: they wait until it is out. And when no page is left that could leave
 * at all, the search ends there and then: memory that is full stays so for long, and each access
 * that is refused would walk over everything, turn after turn.
 */
#include "mm/internal.h"
#include "mm/trace.h"

#include <errno.h>

#include "mm/policy.h"

/* So many turns of the hand the policy decides. Then any page leaves; then those asked for last. */
#define TURNS_POLICY 3
#define TURNS_ANY    4
#define TURNS_ALL    5
/* Nothing can leave: a last look whether others have made room. */
#define TURNS_LAST (TURNS_ALL - 1)

/* Addresses asked for last; but at most half of what fits is kept for that. */
#define RECENT_MOST 64

/* Of room for more pages than asked for, this part of the limit, to save turns through the locks.
 */
#define AHEAD_PART 64
#define AHEAD_MOST 8

/* A type's store that has failed so often is full, or broken: it is not asked again for this room.
 */
#define FAILURES 4

/* Pages called back so often in one search: the next is held. */
#define CALLED_BACK 4

/* How often a thread that runs a type's code itself looks whether others have saved their pages. */
#define BUSY_LOOKS 1000

struct hand {
	struct mach_lock lock; /* innermost of the mm's */
	uint64_t at;	       /* an address */
	struct mm_policy_state state;
};

struct reclaimer {
	struct hand hand;
	_Atomic uint32_t asked; /* how many addresses have been asked for */
	_Atomic uint64_t recent[RECENT_MOST];
	_Atomic bool held[MM_STORE_LOCKS]; /* whoever touches a page on its way there waits */
};

/* What belongs to a table: the hand that its own limit needs, and its pages' marks. */
struct marks {
	struct hand hand;
	uint8_t mark[];
};

/* One search for room. */
struct sweep {
	struct mm_space *space;
	struct reclaimer *reclaimer;
	struct hand *hand;
	uf_ref table;	  /* only pages of this one; 0: of any */
	uint64_t want;	  /* pages to leave still */
	uint64_t passed;  /* pages the hand has passed since one left */
	uint64_t managed; /* how many there are in a turn */
	unsigned turns;
	bool refused;	   /* by the swap store */
	unsigned failures; /* of types to write a page back */
	unsigned recalls;  /* pages that were called back */
	uf_ref busy;	   /* a table whose store was in use, 0: none was */
	/* A page to be written back: its table, and where it is. */
	uf_ref store;
	uint64_t store_addr;
};

/* Pages of one leaf that the hand has come to. */
struct stretch {
	const struct mm_area *area;
	uint64_t page, n;
};

static struct reclaimer *reclaimer_of(const struct mm_space *space)
{
	return arena_at(space->reclaimer);
}

static struct marks *marks_of(struct mm_table *table)
{
	return arena_at(atomic_load_explicit(&table->marks, memory_order_acquire));
}

static uint64_t marks_size(const struct mm_table *table)
{
	return sizeof(struct marks) + table->map.npages;
}

void mm_reclaim_forget(struct mm_table *table)
{
	arena_free(marks_of(table), marks_size(table));
}

/* NULL: no memory. The space is locked. */
static struct marks *make_marks(struct mm_space *space, struct mm_table *table)
{
	struct reclaimer *r = reclaimer_of(space);
	struct marks *m = marks_of(table);
	uf_ref none = 0;

	if (m)
		return m;
	m = arena_alloc(marks_size(table));
	if (!m)
		return NULL;
	mm_policy_start(&m->hand.state, r ? r->hand.state.policy : mm_policy_at(0), table->limit);
	if (!atomic_compare_exchange_strong(&table->marks, &none, arena_ref(m)))
		arena_free(m, marks_size(table));
	return marks_of(table);
}

/* The space is locked for writing. */
static int make_reclaimer(struct mm_space *space)
{
	struct reclaimer *r = reclaimer_of(space);

	if (r)
		return 0;
	r = arena_alloc(sizeof(*r));
	if (!r)
		return -ENOMEM;
	mm_policy_start(&r->hand.state, mm_policy_at(0), 0);
	space->reclaimer = arena_ref(r);
	return 0;
}

/* ---- Limits and policy -------------------------------------------------------------------------
 */

static uint64_t limit_pages(uint64_t bytes)
{
	return bytes ? mm_max(bytes >> UF_PAGE_SHIFT, MM_LIMIT_LEAST) : 0;
}

int mm_limit_space(struct mm_space *space, uint64_t bytes)
{
	int err;

	mach_write_lock(&space->lock);
	err = make_reclaimer(space);
	if (!err) {
		reclaimer_of(space)->hand.state.limit = limit_pages(bytes);
		atomic_store(&space->limit, limit_pages(bytes));
	}
	mach_write_unlock(&space->lock);
	return err;
}

static int limit_table(struct mm_space *space, struct mm_table *table, uint64_t bytes)
{
	struct marks *m;

	if (!(mm_types[table->type]->flags & MM_TYPE_RECLAIM))
		return -EINVAL;
	if (make_reclaimer(space) != 0)
		return -ENOMEM;
	m = make_marks(space, table);
	if (!m)
		return -ENOMEM;
	m->hand.state.limit = limit_pages(bytes);
	table->limit = limit_pages(bytes);
	return 0;
}

int mm_limit_area(struct mm_space *space, uint64_t addr, uint64_t bytes)
{
	struct mm_area *a;
	int err = -ENOENT;

	mach_write_lock(&space->lock);
	a = mm_area_find(space, addr);
	if (a)
		err = limit_table(space, mm_area_table(a), bytes);
	mach_write_unlock(&space->lock);
	return err;
}

int mm_set_policy(struct mm_space *space, const char *name)
{
	const struct mm_policy *policy = mm_policy_find(name);
	struct mm_area *a;
	int err;

	if (!policy)
		return -EINVAL;
	mach_write_lock(&space->lock);
	err = make_reclaimer(space);
	if (!err)
		mm_policy_start(&reclaimer_of(space)->hand.state, policy, space->limit);
	for (uint32_t i = 0; !err && (a = mm_area_at(space, i)) != NULL; i++) {
		struct mm_table *table = mm_area_table(a);

		if (marks_of(table))
			mm_policy_start(&marks_of(table)->hand.state, policy, table->limit);
	}
	mach_write_unlock(&space->lock);
	return err;
}

/* ---- What may leave ----------------------------------------------------------------------------
 */

static void note_asked(struct reclaimer *r, uint64_t addr)
{
	uint32_t i = atomic_fetch_add_explicit(&r->asked, 1, memory_order_relaxed);

	atomic_store_explicit(&r->recent[i % RECENT_MOST], addr & UF_PAGE_MASK,
			      memory_order_relaxed);
}

static bool asked_lately(struct reclaimer *r, uint64_t limit, uint64_t addr)
{
	uint32_t last = atomic_load_explicit(&r->asked, memory_order_relaxed);
	uint32_t n = (uint32_t)mm_min(RECENT_MOST, limit / 2);

	for (uint32_t i = 1; i <= n; i++)
		if (atomic_load_explicit(&r->recent[(last - i) % RECENT_MOST],
					 memory_order_relaxed) == addr)
			return true;
	return false;
}

static bool area_leaves(const struct mm_area *a)
{
	const struct mm_type *type = mm_area_type(a);

	return (type->flags & MM_TYPE_RECLAIM) && type->page_shift == UF_PAGE_SHIFT &&
	       !(a->flags & MM_AREA_LOCKED);
}

/* The hand's lock is held. */
static enum mm_verdict judge(const struct sweep *s, const struct stretch *at, uint64_t page,
			     mm_entry e, uint8_t *mark)
{
	struct mm_policy_state *state = &s->hand->state;
	enum mm_verdict verdict = MM_LEAVE;

	if (s->turns < TURNS_POLICY)
		verdict = mm_policy_look(state, mark, e & MM_REF);
	if (verdict == MM_LEAVE && s->turns < TURNS_ANY &&
	    asked_lately(s->reclaimer, state->limit, mm_area_addr(at->area, page)))
		return MM_STAY;
	return verdict;
}

/* ---- The hand ----------------------------------------------------------------------------------
 */

/* Does this thread run the code of a type whose pages go where the table's do? */
static bool in_store_of(struct mm_space *space, uf_ref table)
{
	uint32_t owner = atomic_load(&space->store_owner[table % MM_STORE_LOCKS]);

	return owner && owner == mach_tid();
}

/* Can this search have a page of the area's? */
static bool may_give(const struct sweep *s, const struct mm_area *a)
{
	const struct mm_table *table = mm_area_table(a);

	if (!area_leaves(a) || atomic_load_explicit(&table->resident, memory_order_relaxed) == 0)
		return false;
	if (mm_area_type(a)->writeback)
		return s->failures < FAILURES && !in_store_of(s->space, a->table);
	return !s->refused;
}

/* The first area that ends above addr and that has something to give, or NULL. */
static const struct mm_area *next_area(struct sweep *s, uint64_t addr)
{
	uint32_t i = mm_area_index(s->space, addr);
	const struct mm_area *a;

	for (; (a = mm_area_at(s->space, i)) != NULL; i++) {
		if (s->table && a->table != s->table)
			continue;
		if (may_give(s, a))
			break;
		s->passed += (a->end - mm_max(a->start, addr)) >> UF_PAGE_SHIFT;
	}
	return a;
}

/* Move the hand over the next pages of one leaf. Space read-locked. False: there are none. */
static bool next_stretch(struct sweep *s, struct stretch *at)
{
	struct hand *hand = s->hand;
	uint64_t start;

	mach_lock(&hand->lock);
	at->area = next_area(s, hand->at);
	if (!at->area) {
		at->area = next_area(s, 0);
		if (at->area) {
			hand->at = 0;
			mm_policy_turn(&hand->state);
		}
	}
	if (at->area) {
		start = mm_max(at->area->start, hand->at);
		at->page = mm_area_page(at->area, start);
		at->n = mm_leaf_run(at->page, (at->area->end - start) >> UF_PAGE_SHIFT);
		hand->at = start + (at->n << UF_PAGE_SHIFT);
	}
	mach_unlock(&hand->lock);
	return at->area != NULL;
}

/* The stretch ends with `n` pages: what is left of it is for whoever needs room next. */
static void cut_stretch(struct sweep *s, struct stretch *at, uint64_t n)
{
	uint64_t end = mm_area_addr(at->area, at->page + at->n);

	if (s->hand->at == end)
		s->hand->at = mm_area_addr(at->area, at->page + n);
	at->n = n;
}

/* ---- Leaving -----------------------------------------------------------------------------------
 */

/* What was found in a stretch; bit i: its page i. */
struct found {
	uint64_t close[MM_LEAF_ENTRIES / 64];
	uint64_t leave[MM_LEAF_ENTRIES / 64];
};

static bool bit(const uint64_t *bits, uint64_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

static void set_bit(uint64_t *bits, uint64_t i)
{
	bits[i / 64] |= (uint64_t)1 << (i % 64);
}

/* How many bits from i on, up to n, are like it. */
static uint64_t bit_run(const uint64_t *bits, uint64_t i, uint64_t n)
{
	uint64_t end = i + 1;

	while (end < n && bit(bits, end) == bit(bits, i))
		end++;
	return end - i;
}

static void close_found(const struct stretch *at, const struct found *found)
{
	struct mach_span span = mm_area_span(at->area);
	uint64_t run;

	for (uint64_t i = 0; i < at->n; i += run) {
		run = bit_run(found->close, i, at->n);
		if (bit(found->close, i))
			mach_tlb_limit(&span, at->page + i, run, 0);
	}
}

/* Leaf locked, pages closed. Returns how many of the n could be saved. */
static uint64_t swap_out(struct mm_space *space, const struct stretch *at, uint64_t page,
			 uint64_t n, mm_entry *e)
{
	struct mach_span span = mm_area_span(at->area);
	uint64_t done = 0, slot;

	while (done < n && mach_swap_out(&span, page + done, &slot) == 0) {
		e[done] = mm_make_swap(slot, e[done] & (MM_WP | MM_RWP | MM_SOFTDIRTY));
		done++;
	}
	if (done == 0)
		return 0;
	mach_frames_give(&span, page, done);
	mm_account(space, mm_area_table(at->area), -(int64_t)done);
	mm_stat_add(space->stats, MM_STAT_OUT, done);
	mm_trace_evict(mm_area_addr(at->area, page), done << UF_PAGE_SHIFT);
	return done;
}

static void leave_found(struct sweep *s, const struct stretch *at, const struct found *found,
			mm_entry *e)
{
	uint64_t run, done;

	for (uint64_t i = 0; i < at->n && !s->refused; i += run) {
		run = bit_run(found->leave, i, at->n);
		if (!bit(found->leave, i))
			continue;
		done = swap_out(s->space, at, at->page + i, run, e + i);
		s->refused = done < run;
		s->want -= mm_min(s->want, done);
		if (done > 0)
			s->passed = 0;
	}
}

/* Judge the pages of the stretch, which ends where enough has been found. Leaf locked. */
static void find(struct sweep *s, struct stretch *at, mm_entry *e, struct found *found)
{
	struct marks *marks = make_marks(s->space, mm_area_table(at->area));
	bool stored = mm_area_type(at->area)->writeback;
	uint64_t left = s->want;

	*found = (struct found){{0}, {0}};
	mach_lock(&s->hand->lock);
	for (uint64_t i = 0; i < at->n; i++) {
		uint8_t none = 0, *mark = marks ? &marks->mark[at->page + i] : &none;
		enum mm_verdict verdict;

		if (mm_kind(e[i]) != MM_PRESENT)
			continue;
		verdict = judge(s, at, at->page + i, e[i], mark);
		if (verdict == MM_STAY)
			continue;
		e[i] &= ~MM_REF;
		if (verdict == MM_PROBE || !stored)
			set_bit(found->close, i);
		if (verdict == MM_PROBE)
			continue;
		mm_policy_leave(&s->hand->state, mark);
		if (stored) {
			s->store = at->area->table;
			s->store_addr = mm_area_addr(at->area, at->page + i);
		} else {
			set_bit(found->leave, i);
		}
		if (stored || --left == 0)
			cut_stretch(s, at, i + 1);
	}
	mach_unlock(&s->hand->lock);
}

static void visit(struct sweep *s, struct stretch *at)
{
	struct mm_table *table = mm_area_table(at->area);
	struct found found;
	mm_entry *entries, *e;

	mm_leaf_peek(table, at->page, &entries);
	if (entries) {
		e = entries + at->page % MM_LEAF_ENTRIES;
		find(s, at, e, &found);
		close_found(at, &found);
		leave_found(s, at, &found, e);
	}
	mm_leaf_unlock(table, at->page);
}

/* ---- Types with a store of their own -----------------------------------------------------------
 */

/*
 * The area at addr if it shows the table and its page there is in memory (and BUSY, if that is
 * asked for), with the leaf locked; else NULL. Space locked.
 */
static const struct mm_area *find_stored(struct mm_space *space, uf_ref table, uint64_t addr,
					 mm_entry busy, mm_entry **e)
{
	const struct mm_area *a = mm_area_find(space, addr);
	mm_entry *entries;
	uint64_t page;

	if (!a || a->table != table || !area_leaves(a))
		return NULL;
	page = mm_area_page(a, addr);
	mm_leaf_peek(mm_area_table(a), page, &entries);
	*e = entries ? &entries[page % MM_LEAF_ENTRIES] : NULL;
	if (*e && mm_kind(**e) == MM_PRESENT && (**e & busy) == busy)
		return a;
	mm_leaf_unlock(mm_area_table(a), page);
	return NULL;
}

/* Close the page and copy its contents. The table is pinned if that is done: 0. */
static int begin_writeback(struct mm_space *space, uf_ref table, uint64_t addr, void *contents,
			   struct mm_view *v, uint64_t *page)
{
	const struct mm_area *a;
	int err = -EAGAIN;
	mm_entry *e;

	mm_read_lock(space);
	a = find_stored(space, table, addr, 0, &e);
	if (a) {
		*v = mm_area_view(a);
		*page = mm_area_page(a, addr);
		mach_tlb_limit(&v->span, *page, 1, 0);
		err = mach_frames_read(&v->span, *page, contents) ? -EIO : 0;
		if (!err) {
			*e = (*e & ~MM_REF) | MM_BUSY;
			mm_table_pin(v->table);
		}
		mm_leaf_unlock(v->table, *page);
	}
	mm_read_unlock(space);
	return err;
}

/* Written, or not: if nobody called the page back it leaves, or is an ordinary page again. */
static bool end_writeback(struct mm_space *space, uf_ref table, uint64_t addr, bool written)
{
	const struct mm_area *a;
	mm_entry *e;

	mm_read_lock(space);
	a = find_stored(space, table, addr, MM_BUSY, &e);
	if (a) {
		struct mach_span span = mm_area_span(a);
		uint64_t page = mm_area_page(a, addr);

		*e &= ~MM_BUSY;
		if (written) {
			*e = mm_make_swap(MM_SLOT_TYPE, *e & (MM_WP | MM_RWP | MM_SOFTDIRTY));
			mach_frames_give(&span, page, 1);
			mm_account(space, mm_area_table(a), -1);
			mm_stat_add(space->stats, MM_STAT_OUT, 1);
			mm_trace_evict(addr, UF_PAGE_SIZE);
		}
		mm_leaf_unlock(mm_area_table(a), page);
	}
	mm_read_unlock(space);
	return a && written;
}

int mm_store_enter(struct mm_space *space, uf_ref table)
{
	if (in_store_of(space, table))
		return -EDEADLK;
	mach_lock(mm_store_lock(space, table));
	atomic_store(&space->store_owner[table % MM_STORE_LOCKS], mach_tid());
	return 0;
}

void mm_store_leave(struct mm_space *space, uf_ref table)
{
	struct reclaimer *r = reclaimer_of(space);

	if (r)
		atomic_store(&r->held[table % MM_STORE_LOCKS], false);
	atomic_store(&space->store_owner[table % MM_STORE_LOCKS], 0);
	mach_unlock(mm_store_lock(space, table));
}

/* Is this thread inside of some type's fetch or writeback? */
static bool in_store(struct mm_space *space)
{
	uint32_t me = mach_tid();

	for (unsigned i = 0; i < MM_STORE_LOCKS; i++)
		if (atomic_load(&space->store_owner[i]) == me)
			return true;
	return false;
}

bool mm_store_holds(struct mm_space *space, uf_ref table, mm_entry e)
{
	struct reclaimer *r = reclaimer_of(space);

	return (e & MM_BUSY) && r && atomic_load(&r->held[table % MM_STORE_LOCKS]) &&
	       !in_store(space) && !mm_forking(space);
}

void mm_store_await(struct mm_space *space, uf_ref table)
{
	if (mm_store_enter(space, table) == 0)
		mm_store_leave(space, table);
}

/*
 * One page into its type's store, held there or not. -EBUSY: the store is in use, perhaps by this
 * very thread; -EAGAIN: the page was called back; -EIO: it cannot be saved; -ENOMEM. 0: it has
 * left.
 */
static int write_back(struct mm_space *space, uf_ref table, uint64_t addr, bool hold)
{
	struct mach_entry nest;
	struct mm_view v;
	uint64_t page;
	void *contents;
	int err;

	/*
	 * Looking before taking: a thread that holds one store can only come to wait for another
	 * that was taken after it looked, so no circle of waiting threads closes.
	 */
	if (atomic_load(&mm_store_lock(space, table)->word) != 0)
		return -EBUSY;
	contents = arena_alloc(UF_PAGE_SIZE);
	if (!contents)
		return -ENOMEM;
	if (mm_store_enter(space, table) != 0) {
		arena_free(contents, UF_PAGE_SIZE);
		return -EBUSY;
	}
	if (hold)
		atomic_store(&reclaimer_of(space)->held[table % MM_STORE_LOCKS], true);
	err = begin_writeback(space, table, addr, contents, &v, &page);
	if (!err) {
		mach_nest_begin(&nest);
		err = mm_types[v.table->type]->writeback(&v, page, contents) ? -EIO : 0;
		mach_nest_end(&nest);
		if (!end_writeback(space, table, addr, err == 0) && !err)
			err = -EAGAIN;
		mm_table_unpin(space, v.table);
	}
	mm_store_leave(space, table);
	arena_free(contents, UF_PAGE_SIZE);
	return err;
}

/* ---- Room --------------------------------------------------------------------------------------
 */

static uint64_t excess(uint64_t limit, uint64_t resident, uint64_t n)
{
	uint64_t most;

	if (!limit)
		return 0;
	most = limit - mm_min(limit, n);
	return resident > most ? resident - most : 0;
}

/*
 * Whose limit has no room for n more, and how many pages must leave: those of the table itself, or
 * any. Space read-locked. False: there is room.
 */
static bool short_of_room(struct sweep *s, uint64_t addr, uint64_t n)
{
	struct mm_space *space = s->space;
	const struct mm_area *a = mm_area_find(space, addr);
	struct mm_table *table = a ? mm_area_table(a) : NULL;
	uint64_t limit = 0;
	uf_ref whose = 0;

	s->want = 0;
	if (table && table->limit) {
		limit = table->limit;
		s->want = excess(limit, atomic_load(&table->resident), n);
		s->managed = table->live;
		s->hand = &marks_of(table)->hand;
		whose = a->table;
	}
	if (!s->want) {
		limit = atomic_load(&space->limit);
		s->want = excess(limit, atomic_load(&space->resident), n);
		s->managed = space->pages;
		s->hand = &s->reclaimer->hand;
		whose = 0;
	}
	if (!s->want)
		return false;
	if (whose != s->table) {
		s->passed = 0;
		s->turns = 0;
		s->table = whose;
	}
	s->want += mm_min(limit / AHEAD_PART, AHEAD_MOST);
	return true;
}

/* The page that the hand has found, to its type's store. */
static void save(struct sweep *s)
{
	int err = write_back(s->space, s->store, s->store_addr, s->recalls >= CALLED_BACK);

	s->recalls += err == -EAGAIN;
	if (err == -EBUSY || err == -EAGAIN)
		s->busy = s->store;
	else if (err)
		s->failures++;
	else
		s->passed = 0;
}

/* Let what the hand finds in one leaf go. 0: look whether it was enough. */
static int step(struct sweep *s, uint64_t addr, uint64_t n, bool *enough)
{
	struct stretch at;
	bool any = true;

	s->store = 0;
	mm_read_lock(s->space);
	*enough = !short_of_room(s, addr, n);
	if (!*enough) {
		any = next_stretch(s, &at);
		if (any)
			visit(s, &at);
	}
	mm_read_unlock(s->space);
	if (*enough)
		return 0;
	s->passed += any ? at.n : s->managed + 1;
	if (s->store)
		save(s);
	if (s->passed > s->managed) {
		s->passed = 0;
		s->turns = any ? s->turns + 1 : (unsigned)mm_max(s->turns + 1, TURNS_LAST);
	}
	return s->turns == TURNS_ALL ? -ENOMEM : 0;
}

/* Nothing else could leave, but what others are just saving soon will have. */
static bool wait_for_store(struct sweep *s, unsigned *looks)
{
	uf_ref table = s->busy;

	if (!table || (in_store(s->space) && (*looks)++ == BUSY_LOOKS))
		return false;
	if (in_store(s->space))
		mach_relax();
	else
		mm_store_await(s->space, table);
	s->turns = TURNS_POLICY;
	s->busy = 0;
	return true;
}

int mm_reclaim(struct mm_space *space, uint64_t addr, uint64_t n)
{
	struct sweep s = {.space = space, .reclaimer = reclaimer_of(space)};
	bool enough = false;
	unsigned looks = 0;
	int err = 0;

	if (!s.reclaimer)
		return 0;
	note_asked(s.reclaimer, addr);
	while (!err && !enough) {
		err = step(&s, addr, n, &enough);
		if (err && wait_for_store(&s, &looks))
			err = 0;
	}
	if (err)
		mm_stat_add(space->stats, MM_STAT_REFUSED, 1);
	return err;
}

/* ---- MADV_PAGEOUT ------------------------------------------------------------------------------
 */

/* As visit, for all pages of the stretch, whatever the policy would say. */
static void push_out(struct mm_space *space, struct stretch *at)
{
	struct sweep s = {.space = space};
	struct found found = {{0}, {0}};
	mm_entry *entries, *e;

	mm_leaf_peek(mm_area_table(at->area), at->page, &entries);
	if (entries) {
		e = entries + at->page % MM_LEAF_ENTRIES;
		for (uint64_t i = 0; i < at->n; i++) {
			if (mm_kind(e[i]) != MM_PRESENT)
				continue;
			e[i] &= ~MM_REF;
			set_bit(found.close, i);
			set_bit(found.leave, i);
		}
		close_found(at, &found);
		leave_found(&s, at, &found, e);
	}
	mm_leaf_unlock(mm_area_table(at->area), at->page);
}

void mm_pageout(struct mm_space *space, uint64_t start, uint64_t len)
{
	uint64_t addr = start, end = start + len;

	while (addr < end) {
		struct stretch at = {0};
		const struct mm_area *a;
		uf_ref store = 0;

		mm_read_lock(space);
		a = mm_area_at(space, mm_area_index(space, addr));
		if (a)
			addr = mm_max(addr, a->start);
		if (a && addr < end) {
			at.area = a;
			at.page = mm_area_page(a, addr);
			at.n = mm_leaf_run(at.page, (mm_min(end, a->end) - addr) >> UF_PAGE_SHIFT);
			if (mm_area_type(a)->writeback) {
				store = a->table;
				at.n = 1;
			} else if (area_leaves(a)) {
				push_out(space, &at);
			}
		}
		mm_read_unlock(space);
		if (at.n == 0)
			break;
		if (store)
			(void)write_back(space, store, addr, false);
		addr += at.n << UF_PAGE_SHIFT;
	}
}
