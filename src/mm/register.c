/*
 * register.c - ranges get and lose a handler. Memory the host mapped is taken over here, when it is
 * first registered.
 */
#include "mm/internal.h"
#include "mm/trace.h"

#include <errno.h>

/* A piece of a range: an area of ours, or a host mapping not managed yet. Clipped to the range. */
struct piece {
	uint64_t start, end;
	struct mm_area *area; /* NULL: host mapping */
	struct mach_vma vma;
	int err; /* where there is no piece: why it cannot be said whether there is; or 0 */
};

/* The first piece at or after addr; false when there is none below end. Space locked. */
static bool next_piece(struct mm_space *space, uint64_t addr, uint64_t end, struct piece *p)
{
	struct mm_area *a = mm_area_at(space, mm_area_index(space, addr));
	uint64_t gap_end = a ? mm_max(addr, mm_min(a->start, end)) : end;

	p->err = 0;
	if (addr >= end)
		return false;
	p->err = gap_end > addr ? mach_vma_next(addr, &p->vma) : -ENOENT;
	if (p->err && p->err != -ENOENT)
		return false;
	if (!p->err && p->vma.start < gap_end) {
		p->area = NULL;
		p->start = mm_max(addr, p->vma.start);
		p->end = mm_min(p->vma.end, gap_end);
		return true;
	}
	p->err = 0;
	if (!a || a->start >= end)
		return false;
	p->area = a;
	p->start = mm_max(addr, a->start);
	p->end = mm_min(a->end, end);
	return true;
}

static const struct mm_type *piece_type(const struct piece *p)
{
	return p->area ? mm_area_type(p->area) : mm_type_for(&p->vma);
}

static bool piece_maywrite(const struct piece *p)
{
	if (p->area)
		return p->area->flags & MM_AREA_MAYWRITE;
	return !p->vma.shared || p->vma.maywrite;
}

/* Can a range of the type be registered so? */
static bool type_serves(const struct mm_space *space, const struct mm_type *type, uf_ref handler,
			uint32_t modes)
{
	if (!type || (modes & ~(type->modes & mm_handler->modes(type->kinds))))
		return false;
	if (!(type->flags & MM_TYPE_ASYNC_ONLY) || (space->options & MM_OPTION_FILE_FAULTS))
		return true;
	return modes == MM_MODE_WP && mm_handler->async(handler, MM_MODE_WP);
}

/* Per mapping: kind, VM_MAYWRITE, borders of large pages, owner, in this order. */
static int check_register(const struct mm_space *space, const struct piece *p, uf_ref handler,
			  uint32_t modes)
{
	const struct mm_type *type = piece_type(p);

	if (!type_serves(space, type, handler, modes))
		return -EINVAL;
	if (!piece_maywrite(p))
		return -EPERM;
	if ((p->start | p->end) & (((uint64_t)1 << type->page_shift) - 1))
		return -EINVAL;
	return p->area && p->area->handler && p->area->handler != handler ? -EBUSY : 0;
}

/*
 * What was mapped is present. Without memory for a leaf its pages fault once more, as they might
 * for many reasons.
 */
static void enter_mapped(const struct mm_area *a)
{
	struct mm_view v = mm_area_view(a);
	uint64_t page = a->pgoff, last = mm_area_page(a, a->end), n;

	for (; page < last; page += n) {
		uint64_t bits[MM_LEAF_ENTRIES / 64] = {0}, any = 0;
		mm_entry *entries;

		n = mm_leaf_run(page, last - page);
		mm_area_type(a)->mapped(&v, page, n, bits);
		for (unsigned i = 0; i < MM_LEAF_ENTRIES / 64; i++)
			any |= bits[i];
		if (!any || mm_leaf_lock(v.table, page, true, &entries) != 0)
			continue;
		for (uint64_t i = 0; i < n; i++)
			if (bits[i / 64] >> (i % 64) & 1)
				entries[(page + i) % MM_LEAF_ENTRIES] =
					mm_make_present(page + i, MM_SOFTDIRTY);
		mm_leaf_unlock(v.table, page);
	}
}

/*
 * Room to enter all that is mapped: of a private mapping it may be copies, which nobody would find
 * again in an entry that says that there is nothing. The caller frees the table when this fails.
 */
static int make_leaves(struct mm_table *table)
{
	mm_entry *entries;

	for (uint64_t i = 0; i < table->nslots; i++) {
		int err = mm_leaf_lock(table, i * MM_LEAF_ENTRIES, true, &entries);

		if (err)
			return err;
		mm_leaf_unlock(table, i * MM_LEAF_ENTRIES);
	}
	return 0;
}

/* Take over [start, end) of a host mapping as a new area without a handler. Write lock held. */
static int take_over(struct mm_space *space, const struct piece *p)
{
	const struct mm_type *type = piece_type(p);
	/* Of huge pages the machine cannot tell, and their pages go all the same. */
	bool locked = p->vma.kind != MACH_VMA_HUGETLB && mach_vma_locked(p->start);
	struct mm_area fields = {.start = p->start,
				 .end = p->end,
				 .prot = p->vma.prot,
				 .flags = MM_AREA_MAYWRITE | (locked ? MM_AREA_LOCKED : 0) |
					  (p->vma.shared ? MM_AREA_SHARED : 0) |
					  (p->vma.growsdown ? MM_AREA_GROWSDOWN : 0)};
	struct mm_table *table;
	struct mm_area *a;
	int err = 0;

	if (!type)
		return -EINVAL;
	table = mm_table_new((p->end - p->start) >> UF_PAGE_SHIFT, type);
	if (!table)
		return -ENOMEM;
	table->dev = p->vma.dev;
	table->ino = p->vma.ino;
	table->file_page = p->vma.file_page + ((p->start - p->vma.start) >> UF_PAGE_SHIFT);
	a = mm_area_begin(space, &fields, table);
	if (!a)
		return -ENOMEM;
	if (type->mapped && !p->vma.shared)
		err = make_leaves(table);
	if (!err)
		err = type->adopt(table, p->start, p->end, &p->vma);
	err = mm_area_finish(space, a, err);
	if (!err && type->mapped)
		enter_mapped(a);
	return err;
}

/*
 * Marks stay when their mode is replaced, and count for nothing until it comes back: what was
 * opened in between must be closed then.
 */
static void restrict_marked(const struct mm_area *a)
{
	struct mm_table *table = mm_area_table(a);
	uint64_t page = a->pgoff, last = mm_area_page(a, a->end), n;
	struct mach_span span = mm_area_span(a);

	for (; page < last; page += n) {
		uint64_t base = page - page % MM_LEAF_ENTRIES;
		mm_entry *entries;

		n = mm_leaf_run(page, last - page);
		mm_leaf_peek(table, page, &entries);
		for (uint64_t i = page - base; entries && i < page - base + n; i++)
			if (mm_kind(entries[i]) == MM_PRESENT && (entries[i] & (MM_WP | MM_RWP)))
				mach_tlb_limit(&span, base + i, 1, mm_entry_prot(a, entries[i]));
		mm_leaf_unlock(table, page);
	}
}

static int set_modes(struct mm_space *space, const struct piece *p, uf_ref handler, uint32_t modes)
{
	uint32_t gained = modes & ~p->area->modes;
	struct mm_area *a;
	int err;

	if (p->area->handler == handler && gained == 0)
		return 0;
	err = mm_area_split_range(space, p->start, p->end);
	if (err)
		return err;
	a = mm_area_find(space, p->start);
	a->handler = handler;
	a->modes = modes;
	if (gained & (MM_MODE_WP | MM_MODE_RWP))
		restrict_marked(a);
	return 0;
}

/*
 * Areas that nobody is registered with may be long gone: the C library unmaps on its own what it
 * got for malloc, say. What stands there now is the host's, and as new.
 */
static void forget_stale(struct mm_space *space, uint64_t start, uint64_t end)
{
	uint32_t i = mm_area_index(space, start);
	struct mm_area *a;

	while ((a = mm_area_at(space, i)) != NULL && a->start < end) {
		struct mach_span span = mm_area_span(a);

		if (a->handler || mach_map_stands(&span))
			i++;
		else
			mm_area_forget(space, a->start, a->end);
	}
}

int mm_register(struct mm_space *space, uf_ref handler, uint64_t start, uint64_t len,
		uint32_t modes, uint64_t *ops_mask)
{
	uint64_t end = start + len, addr;
	bool found = false;
	struct piece p;
	int err = 0;

	*ops_mask = ~0ull;
	mach_write_lock(&space->lock);
	forget_stale(space, start, end);
	for (addr = start; !err && next_piece(space, addr, end, &p); addr = p.end) {
		err = check_register(space, &p, handler, modes);
		if (!err)
			*ops_mask &= mm_type_ops_mask(piece_type(&p), modes);
		found = true;
	}
	if (!err && p.err)
		err = -ENOMEM;
	if (!err && !found)
		err = -EINVAL;
	for (addr = start; !err && next_piece(space, addr, end, &p); addr = p.end) {
		if (!p.area) {
			err = take_over(space, &p);
			if (err)
				break;
			p.area = mm_area_find(space, p.start);
		}
		err = set_modes(space, &p, handler, modes);
	}
	if (!err && p.err)
		err = -ENOMEM;
	mm_area_merge(space, start, end);
	mach_write_unlock(&space->lock);
	if (!err)
		mm_trace_range(TRACE_RANGE, 0, 0, start, len, modes);
	return err;
}

static int take_over_piece(struct mm_space *space, const struct piece *p)
{
	const struct mm_type *type = piece_type(p);

	if (p->vma.growsdown || !type ||
	    (!(type->flags & MM_TYPE_MOVE) && !(space->options & MM_OPTION_MOVE_ANY)) ||
	    ((p->start | p->end) & (((uint64_t)1 << type->page_shift) - 1)))
		return -EINVAL;
	return take_over(space, p);
}

/*
 * Not a page more than was named: the host merges mappings, so what stands beside it may be another
 * thread's stack, or what the kernel itself accesses for a thread.
 */
int mm_take_over_range(struct mm_space *space, uint64_t addr, uint64_t len)
{
	uint64_t end = addr + len, at;
	struct piece p;
	int err = 0;

	for (at = addr; !err && at < end; at = p.end) {
		if (!next_piece(space, at, end, &p) || p.start != at)
			return at == addr ? -ENOENT : -EINVAL;
		if (!p.area)
			err = take_over_piece(space, &p);
	}
	return err;
}

void mm_clear_marks(const struct mm_area *a)
{
	struct mm_table *table = mm_area_table(a);
	uint64_t page = a->pgoff, last = mm_area_page(a, a->end), n;

	for (; page < last; page += n) {
		uint64_t base = page - page % MM_LEAF_ENTRIES;
		mm_entry *entries;

		n = mm_leaf_run(page, last - page);
		mm_leaf_peek(table, page, &entries);
		for (uint64_t i = page - base; entries && i < page - base + n; i++) {
			entries[i] &= ~(MM_WP | MM_RWP);
			if (entries[i] == mm_make_marker(0))
				entries[i] = 0;
		}
		mm_leaf_unlock(table, page);
	}
}

/* Area without a handler from here on. */
static void disown(struct mm_area *a)
{
	if (a->modes & (MM_MODE_WP | MM_MODE_RWP))
		mm_clear_marks(a);
	a->handler = 0;
	a->modes = 0;
}

static int check_unregister(const struct piece *p, uf_ref handler)
{
	const struct mm_type *type = piece_type(p);

	if (!type || (!p->area && (type->flags & MM_TYPE_ASYNC_ONLY)) ||
	    ((p->start | p->end) & (((uint64_t)1 << type->page_shift) - 1)))
		return -EINVAL;
	return p->area && p->area->handler && p->area->handler != handler ? -EINVAL : 0;
}

int mm_unregister(struct mm_space *space, uf_ref handler, uint64_t start, uint64_t len)
{
	uint64_t end = start + len, addr;
	bool found = false;
	struct piece p;
	int err = 0;

	mach_write_lock(&space->lock);
	for (addr = start; !err && next_piece(space, addr, end, &p); addr = p.end) {
		err = check_unregister(&p, handler);
		found = true;
	}
	if (!err && p.err)
		err = -ENOMEM;
	if (!err && !found)
		err = -EINVAL;
	for (addr = start; !err && next_piece(space, addr, end, &p); addr = p.end) {
		bool missing;

		if (!p.area || p.area->handler == 0)
			continue;
		err = mm_area_split_range(space, p.start, p.end);
		if (err)
			break;
		p.area = mm_area_find(space, p.start);
		missing = p.area->modes & MM_MODE_MISSING;
		disown(p.area);
		/* Waiters of other modes sleep on until a WAKE, as the ABI has it. */
		if (missing)
			mm_handler->wake(handler, p.start, p.end - p.start);
	}
	mm_area_merge(space, start, end);
	mach_write_unlock(&space->lock);
	if (!err)
		mm_trace_range(TRACE_UNRANGE, 0, 0, start, len, 0);
	return err;
}

void mm_forget_handler(struct mm_space *space, uf_ref handler)
{
	mach_write_lock(&space->lock);
	for (uint32_t i = 0; i < space->nareas; i++) {
		struct mm_area *a = mm_area_at(space, i);

		if (a->handler != handler)
			continue;
		disown(a);
		mm_trace_range(TRACE_UNRANGE, 0, 0, a->start, a->end - a->start, 0);
	}
	mm_area_merge(space, 0, mach_task_size());
	mach_write_unlock(&space->lock);
}
