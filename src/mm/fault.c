/*
 * fault.c - a trapped access, from the page table's word to what is done about it.
 */
#include "mm/internal.h"
#include "mm/record.h"
#include "mm/trace.h"

#include <errno.h>

enum verdict {
	OPEN,	   /* present and allowed: let it through */
	POPULATE,  /* an ordinary fault: make a page */
	DRAW,	   /* contents come back from elsewhere */
	FETCH,	   /* the same, from the type's own store */
	LIFT,	   /* protection taken off without asking */
	ASK,	   /* the handler's */
	ROOM,	   /* a page must leave before one can be made */
	ROOM_BACK, /* the same for one that comes back */
	HELD,	   /* it is being saved, and must have left first */
	POISONED,  /* or past the end of the file: the access gets SIGBUS */
};

struct decision {
	enum verdict verdict;
	uint32_t ask; /* ASK: MM_FAULT_* */
};

static bool area_async(const struct mm_area *a, uint32_t mode)
{
	return a->handler && mm_handler->async(a->handler, mode);
}

static struct decision decide_absent(const struct mm_area *a, const struct mm_view *v,
				     uint64_t page, bool write)
{
	const struct mm_type *type = mm_area_type(a);
	uint32_t flags = write ? MM_FAULT_WRITE : 0;
	int there = type->lookup(v, page);

	if (there < 0)
		return (struct decision){POISONED, 0};
	if ((a->modes & MM_MODE_MISSING) && !there)
		return (struct decision){ASK, flags};
	if ((a->modes & MM_MODE_MINOR) && there)
		return (struct decision){ASK, flags | MM_FAULT_MINOR};
	return (struct decision){there && type->fetch ? FETCH : POPULATE, 0};
}

static struct decision decide_present(const struct mm_area *a, mm_entry e, bool write)
{
	uint32_t flags = write ? MM_FAULT_WRITE : 0;

	if ((e & MM_RWP) && (a->modes & MM_MODE_RWP)) {
		if (area_async(a, MM_MODE_RWP))
			return (struct decision){LIFT, 0};
		return (struct decision){ASK, flags | MM_FAULT_RWP};
	}
	if ((e & MM_WP) && (a->modes & MM_MODE_WP) && write) {
		if (area_async(a, MM_MODE_WP))
			return (struct decision){LIFT, 0};
		return (struct decision){ASK, flags | MM_FAULT_WP};
	}
	return (struct decision){OPEN, 0};
}

static struct decision decide(const struct mm_area *a, const struct mm_view *v, uint64_t page,
			      mm_entry e, bool write)
{
	switch (mm_kind(e)) {
	case MM_EMPTY:
		return decide_absent(a, v, page, write);
	case MM_PRESENT:
		return decide_present(a, e, write);
	case MM_SWAP:
		return (struct decision){mm_in_type_store(e) ? FETCH : DRAW, 0};
	case MM_MARKER:
		if (e & MM_POISON)
			return (struct decision){POISONED, 0};
		return decide_absent(a, v, page, write);
	}
	return (struct decision){POISONED, 0};
}

/* The same as a trace has it. */
static uint32_t why(struct decision d, mm_entry e)
{
	switch (d.verdict) {
	case ASK:
		if (d.ask & MM_FAULT_WP)
			return TRACE_WP;
		if (d.ask & MM_FAULT_RWP)
			return TRACE_RWP;
		return d.ask & MM_FAULT_MINOR ? TRACE_MINOR : TRACE_MISSING;
	case OPEN:
		return TRACE_OPENED;
	case DRAW:
		return mm_value(e) == MM_SLOT_ASIDE ? TRACE_OPENED : TRACE_BACK;
	case FETCH:
		return TRACE_BACK;
	case LIFT:
		return TRACE_ASYNC;
	case POPULATE:
	case ROOM:
	case ROOM_BACK:
	case HELD:
	case POISONED:
		break;
	}
	return TRACE_ORDINARY;
}

/* Making a page present may mean that another has to leave. */
static struct decision with_room(struct mm_space *space, const struct mm_view *v, struct decision d,
				 bool full)
{
	bool exists = d.verdict == DRAW || d.verdict == FETCH;

	if ((d.verdict == POPULATE || (exists && !full)) &&
	    mm_room(space, v->table) < mm_view_group(v))
		d.verdict = exists ? ROOM_BACK : ROOM;
	return d;
}

/* Does the area allow the access at all? Comes before everything else. */
static bool allowed(const struct mm_area *a, const struct mm_access *access)
{
	if (access->write)
		return a->prot & UF_PROT_WRITE;
	if (access->exec)
		return a->prot & UF_PROT_EXEC;
	return a->prot != 0;
}

/* Open the page and those neighbours in its leaf that may have the same. Leaf locked. */
static int open_around(struct mm_space *space, const struct mm_area *a, uint64_t page,
		       mm_entry *entries)
{
	uint64_t base = page - page % MM_LEAF_ENTRIES, group = mm_area_group(a);
	uint64_t lo = mm_max(base, a->pgoff), hi = mm_area_page(a, a->end);
	uint64_t around = mm_max(group, mm_limited(space, mm_area_table(a)) ? 1 : MM_AROUND);
	uint32_t prot = mm_entry_prot(a, entries[page - base]);
	uint64_t first = page, last = page + group;

	hi = mm_min(hi, base + MM_LEAF_ENTRIES);
	lo = mm_max(lo, page - page % around);
	hi = mm_min(hi, page - page % around + around);
	while (first > lo && mm_entry_prot(a, entries[first - 1 - base]) == prot)
		first--;
	while (last < hi && mm_entry_prot(a, entries[last - base]) == prot)
		last++;
	return mm_open(a, first, last - first, &entries[first - base]);
}

/* An ordinary fault: a page, write-protected if a marker stood there and nobody lifts it. */
static int populate(struct mm_space *space, const struct mm_area *a, const struct mm_view *v,
		    uint64_t page, bool write, mm_entry *entry)
{
	const struct mm_type *type = mm_area_type(a);
	uint64_t flags = MM_SOFTDIRTY, group = mm_area_group(a);
	int there = type->lookup(v, page), err = there ? 0 : type->populate(v, page);

	/* Another view of the file was first: the access looks again. */
	if (err == -EEXIST || (there && (a->modes & MM_MODE_MINOR)))
		return 0;
	if (err)
		return err;
	if ((*entry & MM_WP) && (a->modes & MM_MODE_WP) && !(write && area_async(a, MM_MODE_WP)))
		flags |= MM_WP;
	for (uint64_t i = 0; i < group; i++)
		entry[i] = mm_make_present(page + i, flags);
	mm_account(space, v->table, (int64_t)group);
	mm_stat_add(space->stats, MM_STAT_ORDINARY, 1);
	return mm_open(a, page, group, entry);
}

static int lift(struct mm_space *space, const struct mm_area *a, uint64_t page, mm_entry *entry)
{
	uint64_t group = mm_area_group(a);

	for (uint64_t i = 0; i < group; i++)
		entry[i] &= ~(MM_WP | MM_RWP);
	mm_stat_add(space->stats, MM_STAT_ASYNC, 1);
	return mm_open(a, page, group, entry);
}

/* What is there: bring it in if it stands elsewhere, and open it if that is all it needs. */
static int show_present(struct mm_space *space, const struct mm_area *a, const struct mm_view *v,
			uint64_t page, bool write, mm_entry *entries, struct decision *d)
{
	int err = 0;

	if (d->verdict == DRAW) {
		err = mm_draw(space, a, page, entries);
		if (!err)
			*d = decide(a, v, page, entries[page % MM_LEAF_ENTRIES], write);
	}
	if (!err && d->verdict == OPEN && write)
		err = mach_map_unshare(&v->span);
	if (!err && d->verdict == OPEN)
		err = open_around(space, a, page, entries);
	return err;
}

/*
 * Everything that needs no handler, with the leaf locked. What must be done without locks comes
 * back in *d; in *reason why it was needed at all.
 */
static int resolve_locally(struct mm_space *space, const struct mm_area *a, uint64_t page,
			   bool write, bool full, struct decision *d, uint32_t *reason)
{
	struct mm_view v = mm_area_view(a);
	uint64_t i = page % MM_LEAF_ENTRIES;
	mm_entry *entries;
	int err;

	/* Contents aside must be known before an entry can be called empty. */
	err = mm_leaf_lock(v.table, page, false, &entries);
	if (err)
		return err;
	*d = with_room(space, &v, decide(a, &v, page, entries ? entries[i] : 0, write), full);
	if (!entries && d->verdict == POPULATE) {
		mm_leaf_unlock(v.table, page);
		err = mm_leaf_lock(v.table, page, true, &entries);
		if (err)
			return err;
		*d = with_room(space, &v, decide(a, &v, page, entries[i], write), full);
	}
	if (d->verdict == OPEN && mm_store_holds(space, a->table, entries[i]))
		d->verdict = HELD;
	*reason = why(*d, entries ? entries[i] : 0);
	switch (d->verdict) {
	case OPEN:
		mm_stat_add(space->stats, MM_STAT_TLB, 1);
		err = show_present(space, a, &v, page, write, entries, d);
		break;
	case DRAW:
		err = show_present(space, a, &v, page, write, entries, d);
		break;
	case POPULATE:
		err = populate(space, a, &v, page, write, &entries[i]);
		break;
	case LIFT:
		if (write)
			err = mach_map_unshare(&v.span);
		if (!err)
			err = lift(space, a, page, &entries[i]);
		break;
	case FETCH:
	case ASK:
	case ROOM:
	case ROOM_BACK:
	case HELD:
	case POISONED:
		break;
	}
	mm_leaf_unlock(v.table, page);
	return err;
}

/* Is the handler still needed? After queueing, so that no fill between goes unseen. */
static bool still_asks(const struct mm_area *a, uint64_t page, bool write, uint32_t ask)
{
	struct mm_view v = mm_area_view(a);
	struct decision d;
	mm_entry *entries;

	if (mm_leaf_lock(v.table, page, false, &entries) != 0)
		return false;
	d = decide(a, &v, page, entries ? entries[page % MM_LEAF_ENTRIES] : 0, write);
	mm_leaf_unlock(v.table, page);
	return d.verdict == ASK && d.ask == ask;
}

static enum mm_stat stat_of(uint32_t ask)
{
	if (ask & MM_FAULT_WP)
		return MM_STAT_WP;
	if (ask & MM_FAULT_RWP)
		return MM_STAT_RWP;
	return ask & MM_FAULT_MINOR ? MM_STAT_MINOR : MM_STAT_MISSING;
}

/* Space read-locked on entry, unlocked on return. *took: how long it has taken until now. */
static enum mm_outcome ask_handler(struct mm_space *space, const struct mm_area *a,
				   const struct mm_access *access, uint64_t page, uint32_t ask,
				   uint64_t *took)
{
	uint64_t size = (uint64_t)1 << mm_area_type(a)->page_shift, now = mach_now();
	uint64_t began = *took ? now - *took : now;
	struct mm_fault f = {.addr = access->addr,
			     .page = access->addr & ~(size - 1),
			     .size = size,
			     .flags = ask,
			     .kernel = access->kernel,
			     .posted = now,
			     .trap = access->trap};
	enum mm_outcome outcome = MM_RETRY;
	uf_ref handler = a->handler, waiter;

	switch (mm_handler->post(handler, &f, &waiter)) {
	case MM_POST_WAIT:
		if (!still_asks(a, page, access->write, ask)) {
			bool asked = mm_handler->cancel(handler, waiter);

			mm_read_unlock(space);
			if (!asked)
				return MM_RETRY;
			break;
		}
		mm_read_unlock(space);
		if (mm_handler->wait(handler, waiter, access->trap))
			outcome = MM_INTERRUPTED;
		break;
	case MM_POST_INLINE:
		mm_handler->hold(handler);
		mm_read_unlock(space);
		if (mm_handler->run(handler, &f))
			outcome = MM_SIGBUS;
		mm_handler->release(handler);
		break;
	case MM_POST_SIGBUS:
	case MM_POST_NOMEM:
		mm_read_unlock(space);
		return MM_SIGBUS;
	}
	mm_stat_add(space->stats, stat_of(ask), 1);
	*took = mach_now() - began;
	mm_stat_latency(space->stats, *took);
	return outcome;
}

/* ---- Fetching from the type's own store -------------------------------------------------------
 *
 * The type's function may be the program's own code, so it runs with no lock but the store's, into
 * a page of ours; then everything is looked up again.
 */

struct fetching {
	struct mm_space *space;
	uint64_t addr;
	uf_ref table;
	bool write;
};

/* The area and page to fetch for, if they still are what they were. Space and leaf locked then. */
static struct mm_area *still_fetches(const struct fetching *f, uint64_t *page, mm_entry **entries)
{
	struct mm_area *a = mm_area_find(f->space, f->addr);
	struct mm_view v;
	struct decision d;

	if (!a || a->table != f->table)
		return NULL;
	v = mm_area_view(a);
	*page = mm_area_page(a, f->addr);
	if (mm_leaf_lock(v.table, *page, true, entries) != 0)
		return NULL;
	d = decide(a, &v, *page, (*entries)[*page % MM_LEAF_ENTRIES], f->write);
	if (d.verdict == FETCH)
		return a;
	mm_leaf_unlock(v.table, *page);
	return NULL;
}

/* What was fetched goes into its frame. */
static int install_fetched(const struct fetching *f, const void *contents)
{
	mm_entry *entries, *e;
	struct mm_area *a;
	uint64_t page;
	long n = 0;

	mm_read_lock(f->space);
	a = still_fetches(f, &page, &entries);
	if (a) {
		struct mm_view v = mm_area_view(a);

		e = &entries[page % MM_LEAF_ENTRIES];
		n = mach_frames_write(&v.span, page, 1, contents);
		if (n == 1) {
			*e = mm_make_present(page, *e & (MM_WP | MM_RWP | MM_SOFTDIRTY));
			mm_account(f->space, v.table, 1);
			mm_stat_add(f->space->stats, MM_STAT_BACK, 1);
		}
		mm_leaf_unlock(v.table, page);
	}
	mm_read_unlock(f->space);
	return n < 0 ? (int)n : 0;
}

/* The store is locked. */
static int fetch_page(const struct fetching *f)
{
	uint64_t page, began = mm_trace_now();
	struct mach_entry nest;
	mm_entry *entries;
	struct mm_area *a;
	struct mm_view v;
	void *contents;
	int err;

	mm_read_lock(f->space);
	a = still_fetches(f, &page, &entries);
	if (a) {
		v = mm_area_view(a);
		mm_table_pin(v.table);
		mm_leaf_unlock(v.table, page);
	}
	mm_read_unlock(f->space);
	if (!a)
		return 0;
	contents = arena_alloc(UF_PAGE_SIZE);
	err = contents ? 0 : -ENOMEM;
	if (!err) {
		mach_nest_begin(&nest);
		err = mm_types[v.table->type]->fetch(&v, page, contents);
		mach_nest_end(&nest);
	}
	if (!err)
		err = install_fetched(f, contents);
	if (!err)
		mm_trace_fetch(began, f->addr & UF_PAGE_MASK, UF_PAGE_SIZE, true);
	arena_free(contents, UF_PAGE_SIZE);
	mm_table_unpin(f->space, v.table);
	return err;
}

static int fetch(struct mm_space *space, uint64_t addr, uf_ref table, bool write)
{
	struct fetching f = {.space = space, .addr = addr, .table = table, .write = write};
	int err = mm_store_enter(space, table);

	if (err)
		return err;
	err = fetch_page(&f);
	mm_store_leave(space, table);
	return err;
}

/* Has the obstacle been seen to, so that it can go on? */
static bool looks_again(enum verdict verdict)
{
	return verdict == ROOM || verdict == ROOM_BACK || verdict == HELD || verdict == ASK;
}

/* ---- The fault ------------------------------------------------------------------------------- */

enum mm_outcome mm_fault(struct mm_space *space, const struct mm_access *access)
{
	uint64_t page, began = mm_trace_fault_begin(access), took = 0, delay = 0;
	enum mm_outcome outcome = MM_RETRY;
	uint32_t reason = TRACE_ORDINARY;
	struct decision d;
	struct mm_area *a;
	bool full = false;
	uf_ref table;
	int err;

	do {
		d.verdict = OPEN;
		mm_read_lock(space);
		a = mm_area_find(space, access->addr);
		if (!a || !allowed(a, access)) {
			mm_read_unlock(space);
			return a ? MM_SIGSEGV : MM_UNMANAGED;
		}
		page = mm_area_page(a, access->addr) & ~(mm_area_group(a) - 1);
		table = a->table;
		err = resolve_locally(space, a, page, access->write, full, &d, &reason);
		if (!err && d.verdict == ASK) {
			reason = why(d, 0);
			delay = took ? 0 : mm_handler->delay(a->handler);
			if (!delay) {
				outcome = ask_handler(space, a, access, page, d.ask, &took);
				break;
			}
		}
		mm_read_unlock(space);
		if (!err && d.verdict == ASK)
			mach_delay(took = delay);
		if (!err && d.verdict == FETCH)
			err = fetch(space, access->addr, table, access->write);
		if (!err && d.verdict == ROOM)
			err = mm_reclaim(space, access->addr, 1);
		/* Contents that there are come back even if nothing can leave for them. */
		if (!err && d.verdict == ROOM_BACK)
			full = mm_reclaim(space, access->addr, 1) != 0;
		if (!err && d.verdict == HELD)
			mm_store_await(space, table);
	} while (!err && looks_again(d.verdict));
	if (err || d.verdict == POISONED)
		outcome = MM_SIGBUS;
	if (outcome == MM_SIGBUS)
		mm_stat_add(space->stats, MM_STAT_SIGBUS, 1);
	mm_record_fault(access);
	if (outcome == MM_SIGBUS)
		reason |= TRACE_SIGNALLED;
	if (outcome == MM_INTERRUPTED)
		reason |= TRACE_RETRIED;
	mm_trace_fault(access, began, took, reason);
	return outcome;
}

/* Open a page for a system call; false when that takes more than opening what is there. */
static bool make_page_ready(struct mm_space *space, const struct mm_area *a, uint64_t page,
			    bool write)
{
	struct mm_view v = mm_area_view(a);
	struct decision d;
	mm_entry *entries;

	if (mm_leaf_lock(v.table, page, false, &entries) != 0)
		return true;
	d = with_room(space, &v,
		      decide(a, &v, page, entries ? entries[page % MM_LEAF_ENTRIES] : 0, write),
		      false);
	(void)show_present(space, a, &v, page, write, entries, &d);
	mm_leaf_unlock(v.table, page);
	switch (d.verdict) {
	case OPEN:
	case POISONED:
		return true;
	case ASK:
		return mm_handler->refuses(a->handler);
	case POPULATE:
	case LIFT:
	case DRAW:
	case FETCH:
	case ROOM:
	case ROOM_BACK:
	case HELD:
		return false;
	}
	return true;
}

bool mm_make_ready(struct mm_space *space, uint64_t start, uint64_t len, bool write)
{
	struct mm_access access = {.addr = start & UF_PAGE_MASK, .write = write, .kernel = true};
	uint64_t end = start + len;
	bool ready = true;

	mm_read_lock(space);
	while (access.addr < end) {
		struct mm_area *a = mm_area_at(space, mm_area_index(space, access.addr));
		uint64_t size;

		if (!a)
			break;
		size = mm_area_page_size(a);
		access.addr = mm_max(access.addr & ~(size - 1), a->start);
		for (; access.addr < mm_min(a->end, end) && allowed(a, &access);
		     access.addr += size)
			ready &= make_page_ready(space, a, mm_area_page(a, access.addr), write);
		access.addr = a->end;
	}
	mm_read_unlock(space);
	return ready;
}
