/*
 * direct.c - areas of a type that the program names, and waking beyond one handler.
 */
#include "mm/direct.h"
#include "mm/internal.h"

#include <errno.h>

/* Write lock held; the host has plain memory there, and no area is. */
static int manage(struct mm_space *space, const struct mm_type *type, uint64_t owner,
		  const struct mach_vma *vma, uint64_t start, uint64_t end)
{
	struct mm_table *table = mm_table_new((end - start) >> UF_PAGE_SHIFT, type);
	const struct mm_area fields = {
		.start = start, .end = end, .prot = vma->prot, .flags = MM_AREA_MAYWRITE};
	struct mm_area *a;

	if (!table)
		return -ENOMEM;
	table->owner = owner;
	a = mm_area_begin(space, &fields, table);
	return a ? mm_area_finish(space, a, type->adopt(table, start, end, vma)) : -ENOMEM;
}

int mm_manage(struct mm_space *space, const struct mm_type *type, uint64_t owner, uint64_t start,
	      uint64_t len)
{
	uint64_t end = start + len;
	struct mm_area *next;
	struct mach_vma vma;
	int err;

	mach_write_lock(&space->lock);
	next = mm_area_at(space, mm_area_index(space, start));
	err = next && next->start < end ? -EINVAL : mach_vma_next(start, &vma);
	if (!err && (vma.start > start || vma.end < end || vma.kind != MACH_VMA_ANON))
		err = -EINVAL;
	if (!err)
		err = manage(space, type, owner, &vma, start, end);
	mach_write_unlock(&space->lock);
	return err;
}

static struct mm_place place_at(const struct mm_area *a, uint64_t addr)
{
	const struct mm_table *table = mm_area_table(a);

	return (struct mm_place){.owner = table->owner,
				 .page = table->file_page + mm_area_page(a, addr)};
}

int mm_place(struct mm_space *space, const struct mm_type *type, uint64_t addr,
	     struct mm_place *out)
{
	int err = -ENOENT;
	struct mm_area *a;

	mm_read_lock(space);
	a = mm_area_find(space, addr);
	if (a && mm_area_type(a) == type) {
		*out = place_at(a, addr);
		err = 0;
	}
	mm_read_unlock(space);
	return err;
}

bool mm_owned(struct mm_space *space, const struct mm_type *type, uint64_t owner)
{
	bool found = false;

	mm_read_lock(space);
	for (uint32_t i = 0; !found && i < space->nareas; i++) {
		struct mm_area *a = mm_area_at(space, i);

		found = mm_area_type(a) == type && mm_area_table(a)->owner == owner;
	}
	mm_read_unlock(space);
	return found;
}

/* The first area of the type in [start, end), its table pinned: 0, or -ENOENT. */
static int pin_next(struct mm_space *space, const struct mm_type *type, uint64_t start,
		    uint64_t end, uf_ref *table)
{
	struct mm_area *a;
	uint32_t i;
	int err = -ENOENT;

	mm_read_lock(space);
	i = mm_area_index(space, start);
	while ((a = mm_area_at(space, i)) != NULL && a->start < end && mm_area_type(a) != type)
		i++;
	if (a && a->start < end) {
		mm_table_pin(mm_area_table(a));
		*table = a->table;
		err = 0;
	}
	mm_read_unlock(space);
	return err;
}

/* The first area that shows the table in [start, end), emptied; its part is [*from, *to). */
static int empty_next(struct mm_space *space, uf_ref table, uint64_t start, uint64_t end,
		      struct mm_place *place, uint64_t *from, uint64_t *to)
{
	struct mm_area *a;
	uint32_t i;
	int err;

	mach_write_lock(&space->lock);
	err = mm_area_split_range(space, start, end);
	i = mm_area_index(space, start);
	while (!err && (a = mm_area_at(space, i)) != NULL && a->start < end && a->table != table)
		i++;
	if (!err && (!a || a->start >= end))
		err = -ENOENT;
	if (!err) {
		*from = a->start;
		*to = a->end;
		*place = place_at(a, a->start);
		mm_zap(space, a, a->start, a->end,
		       &(struct mm_zap){.keep_markers =
						mm_area_type(a)->flags & MM_TYPE_MARK_EMPTY});
	}
	mach_write_unlock(&space->lock);
	return err;
}

int mm_discard(struct mm_space *space, const struct mm_type *type, uint64_t start, uint64_t len,
	       void (*drop)(const struct mm_place *first, uint64_t n))
{
	uint64_t end = start + len, from, to = end;
	struct mm_place place;
	struct mach_entry nest;
	bool any = false;
	uf_ref table;
	int err = 0;

	for (; !err && start < end && pin_next(space, type, start, end, &table) == 0; start = to) {
		any = true;
		err = mm_store_enter(space, table);
		if (!err) {
			err = empty_next(space, table, start, end, &place, &from, &to);
			if (!err) {
				mach_nest_begin(&nest);
				drop(&place, (to - from) >> UF_PAGE_SHIFT);
				mach_nest_end(&nest);
			}
			mm_store_leave(space, table);
		}
		mm_table_unpin(space, arena_at(table));
		/* Unmapped meanwhile: see what is there now. */
		if (err == -ENOENT) {
			err = 0;
			to = start;
		}
	}
	if (any) {
		mach_write_lock(&space->lock);
		mm_area_merge(space, end - len, end);
		mach_write_unlock(&space->lock);
	}
	return err;
}

int mm_one_table(struct mm_space *space, uint64_t start, uint64_t len)
{
	uint64_t at = start, end = start + len;
	struct mm_area *a;
	uf_ref table = 0;
	int err = 0;

	mm_read_lock(space);
	for (; !err && at < end; at = a ? a->end : end) {
		a = mm_area_find(space, at);
		if (!a)
			err = at == start ? -ENOENT : -EINVAL;
		else if (at > start && a->table != table)
			err = -EINVAL;
		else
			table = a->table;
	}
	mm_read_unlock(space);
	return err;
}

void mm_wake(struct mm_space *space, uint64_t start, uint64_t len)
{
	uint64_t end = start + len;
	struct mm_area *a;

	mm_read_lock(space);
	for (uint32_t i = mm_area_index(space, start);
	     (a = mm_area_at(space, i)) != NULL && a->start < end; i++) {
		uint64_t from = mm_max(a->start, start), to = mm_min(a->end, end);

		if (a->handler)
			mm_handler->wake(a->handler, from, to - from);
	}
	mm_read_unlock(space);
}
