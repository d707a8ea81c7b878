/*
 * fault.c - a trapped access, from the page table's word to what is done about it.
 */
#include "mm/internal.h"

#include <errno.h>

enum verdict {
	OPEN,	  /* present and allowed: let it through */
	POPULATE, /* an ordinary fault: make a zero page */
	DRAW,	  /* contents come back from elsewhere */
	LIFT,	  /* protection taken off without asking */
	ASK,	  /* the handler's */
	POISONED,
};

struct decision {
	enum verdict verdict;
	uint32_t ask; /* ASK: MM_FAULT_* */
};

static bool area_async(const struct mm_area *a, uint32_t mode)
{
	return a->handler && mm_handler->async(a->handler, mode);
}

static struct decision decide_absent(const struct mm_area *a, struct mm_table *table, uint64_t page,
				     bool write)
{
	uint32_t flags = write ? MM_FAULT_WRITE : 0;
	bool there = mm_area_type(a)->lookup(table, page);

	if ((a->modes & MM_MODE_MISSING) && !there)
		return (struct decision){ASK, flags};
	if ((a->modes & MM_MODE_MINOR) && there)
		return (struct decision){ASK, flags | MM_FAULT_MINOR};
	return (struct decision){POPULATE, 0};
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

static struct decision decide(const struct mm_area *a, struct mm_table *table, uint64_t page,
			      mm_entry e, bool write)
{
	switch (mm_kind(e)) {
	case MM_EMPTY:
		return decide_absent(a, table, page, write);
	case MM_PRESENT:
		return decide_present(a, e, write);
	case MM_SWAP:
		return (struct decision){DRAW, 0};
	case MM_MARKER:
		if (e & MM_POISON)
			return (struct decision){POISONED, 0};
		return decide_absent(a, table, page, write);
	}
	return (struct decision){POISONED, 0};
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
static int open_around(const struct mm_area *a, uint64_t page, mm_entry *entries)
{
	uint64_t base = page - page % MM_LEAF_ENTRIES;
	uint64_t lo = mm_max(base, a->pgoff), hi = mm_area_page(a, a->end);
	uint32_t prot = mm_entry_prot(a, entries[page - base]);
	uint64_t first = page, last = page + 1;

	hi = mm_min(hi, base + MM_LEAF_ENTRIES);
	lo = mm_max(lo, page - page % MM_AROUND);
	hi = mm_min(hi, page - page % MM_AROUND + MM_AROUND);
	while (first > lo && mm_entry_prot(a, entries[first - 1 - base]) == prot)
		first--;
	while (last < hi && mm_entry_prot(a, entries[last - base]) == prot)
		last++;
	return mm_open(a, first, last - first, prot);
}

/* An ordinary fault: a zero page, write-protected if a marker stood there and nobody lifts it. */
static int populate(struct mm_space *space, const struct mm_area *a, uint64_t page, bool write,
		    mm_entry *entry)
{
	const struct mm_type *type = mm_area_type(a);
	struct mm_table *table = mm_area_table(a);
	uint64_t flags = MM_SOFTDIRTY;
	int err;

	if (type->lookup(table, page)) {
		err = type->map(table, page);
	} else {
		err = type->alloc(table, page);
		if (!err) {
			type->zero(table, page, 1);
			err = type->insert(table, page);
		}
	}
	if (err)
		return err;
	if ((*entry & MM_WP) && (a->modes & MM_MODE_WP) && !(write && area_async(a, MM_MODE_WP)))
		flags |= MM_WP;
	*entry = mm_make_present(page, flags);
	mm_stat_add(space->stats, MM_STAT_ORDINARY, 1);
	return mm_open(a, page, 1, mm_entry_prot(a, *entry));
}

static int lift(struct mm_space *space, const struct mm_area *a, uint64_t page, mm_entry *entry)
{
	*entry &= ~(MM_WP | MM_RWP);
	mm_stat_add(space->stats, MM_STAT_ASYNC, 1);
	return mm_open(a, page, 1, mm_entry_prot(a, *entry));
}

/* What is there: bring it in if it stands elsewhere, and open it if that is all it needs. */
static int show_present(struct mm_space *space, const struct mm_area *a, uint64_t page, bool write,
			mm_entry *entries, struct decision *d)
{
	struct mm_table *table = mm_area_table(a);
	int err = 0;

	if (d->verdict == DRAW) {
		err = mm_draw(space, a, page, entries);
		if (!err)
			*d = decide(a, table, page, entries[page % MM_LEAF_ENTRIES], write);
	}
	if (!err && d->verdict == OPEN)
		err = open_around(a, page, entries);
	return err;
}

/* Everything that needs no handler, with the leaf locked. ASK comes back in *d. */
static int resolve_locally(struct mm_space *space, const struct mm_area *a, uint64_t page,
			   bool write, struct decision *d)
{
	struct mm_table *table = mm_area_table(a);
	uint64_t i = page % MM_LEAF_ENTRIES;
	mm_entry *entries;
	int err;

	/* Contents aside must be known before an entry can be called empty. */
	err = mm_leaf_lock(table, page, false, &entries);
	if (err)
		return err;
	*d = decide(a, table, page, entries ? entries[i] : 0, write);
	if (!entries && d->verdict == POPULATE) {
		mm_leaf_unlock(table, page);
		err = mm_leaf_lock(table, page, true, &entries);
		if (err)
			return err;
		*d = decide(a, table, page, entries[i], write);
	}
	switch (d->verdict) {
	case OPEN:
		mm_stat_add(space->stats, MM_STAT_TLB, 1);
		err = show_present(space, a, page, write, entries, d);
		break;
	case DRAW:
		err = show_present(space, a, page, write, entries, d);
		break;
	case POPULATE:
		err = populate(space, a, page, write, &entries[i]);
		break;
	case LIFT:
		err = lift(space, a, page, &entries[i]);
		break;
	case ASK:
	case POISONED:
		break;
	}
	mm_leaf_unlock(table, page);
	return err;
}

/* Is the handler still needed? After queueing, so that no fill between goes unseen. */
static bool still_asks(const struct mm_area *a, uint64_t page, bool write, uint32_t ask)
{
	struct mm_table *table = mm_area_table(a);
	struct decision d;
	mm_entry *entries;

	if (mm_leaf_lock(table, page, false, &entries) != 0)
		return false;
	d = decide(a, table, page, entries ? entries[page % MM_LEAF_ENTRIES] : 0, write);
	mm_leaf_unlock(table, page);
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

/* Space read-locked on entry, unlocked on return. */
static enum mm_outcome ask_handler(struct mm_space *space, const struct mm_area *a,
				   const struct mm_access *access, uint64_t page, uint32_t ask)
{
	uint64_t size = (uint64_t)1 << mm_area_type(a)->page_shift, began = mach_now();
	struct mm_fault f = {.addr = access->addr,
			     .page = access->addr & ~(size - 1),
			     .flags = ask,
			     .kernel = access->kernel,
			     .trap = access->trap};
	enum mm_outcome outcome = MM_RETRY;
	uf_ref handler = a->handler, waiter;

	switch (mm_handler->post(handler, &f, &waiter)) {
	case MM_POST_WAIT:
		if (!still_asks(a, page, access->write, ask)) {
			bool asked = mm_handler->cancel(handler, waiter);

			mach_read_unlock(&space->lock);
			if (!asked)
				return MM_RETRY;
			break;
		}
		mach_read_unlock(&space->lock);
		if (mm_handler->wait(handler, waiter, access->trap))
			outcome = MM_INTERRUPTED;
		break;
	case MM_POST_INLINE:
		mm_handler->hold(handler);
		mach_read_unlock(&space->lock);
		if (mm_handler->run(handler, &f))
			outcome = MM_SIGBUS;
		mm_handler->release(handler);
		break;
	case MM_POST_SIGBUS:
	case MM_POST_NOMEM:
		mach_read_unlock(&space->lock);
		return MM_SIGBUS;
	}
	mm_stat_add(space->stats, stat_of(ask), 1);
	mm_stat_latency(space->stats, mach_now() - began);
	return outcome;
}

enum mm_outcome mm_fault(struct mm_space *space, const struct mm_access *access)
{
	enum mm_outcome outcome = MM_RETRY;
	struct decision d = {OPEN, 0};
	struct mm_area *a;
	uint64_t page;
	int err;

	mach_read_lock(&space->lock);
	a = mm_area_find(space, access->addr);
	if (!a || !allowed(a, access)) {
		mach_read_unlock(&space->lock);
		return a ? MM_SIGSEGV : MM_UNMANAGED;
	}
	page = mm_area_page(a, access->addr);
	err = resolve_locally(space, a, page, access->write, &d);
	if (!err && d.verdict == ASK)
		outcome = ask_handler(space, a, access, page, d.ask);
	else
		mach_read_unlock(&space->lock);
	if (err || d.verdict == POISONED)
		outcome = MM_SIGBUS;
	if (outcome == MM_SIGBUS)
		mm_stat_add(space->stats, MM_STAT_SIGBUS, 1);
	return outcome;
}

/* Open a page for a system call; false when that takes more than opening what is there. */
static bool make_page_ready(struct mm_space *space, const struct mm_area *a, uint64_t page,
			    bool write)
{
	struct mm_table *table = mm_area_table(a);
	struct decision d;
	mm_entry *entries;

	if (mm_leaf_lock(table, page, false, &entries) != 0)
		return true;
	d = decide(a, table, page, entries ? entries[page % MM_LEAF_ENTRIES] : 0, write);
	(void)show_present(space, a, page, write, entries, &d);
	mm_leaf_unlock(table, page);
	switch (d.verdict) {
	case OPEN:
	case POISONED:
		return true;
	case ASK:
		return mm_handler->refuses(a->handler);
	case POPULATE:
	case LIFT:
	case DRAW:
		return false;
	}
	return true;
}

bool mm_make_ready(struct mm_space *space, uint64_t start, uint64_t len, bool write)
{
	struct mm_access access = {.addr = start & UF_PAGE_MASK, .write = write, .kernel = true};
	uint64_t end = start + len;
	bool ready = true;

	mach_read_lock(&space->lock);
	while (access.addr < end) {
		struct mm_area *a = mm_area_at(space, mm_area_index(space, access.addr));

		if (!a)
			break;
		access.addr = mm_max(access.addr, a->start);
		for (; access.addr < mm_min(a->end, end) && allowed(a, &access);
		     access.addr += UF_PAGE_SIZE)
			ready &= make_page_ready(space, a, mm_area_page(a, access.addr), write);
		access.addr = a->end;
	}
	mach_read_unlock(&space->lock);
	return ready;
}
