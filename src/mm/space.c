/*
 * space.c - the space and its areas: a sorted array of references. Lookups are a binary search,
 * changes move the tail of the array.
 */
#include "mm/internal.h"

#include <errno.h>
#include <string.h>

struct mm_space *mm_space_self;
const struct mm_handler_ops *mm_handler;

int mm_space_init(struct mm_stats *stats)
{
	struct mm_space *space;

	arena_init();
	space = arena_alloc(sizeof(*space));
	if (!space)
		return -ENOMEM;
	space->stats = stats ? stats : &space->own_stats;
	mm_space_self = space;
	return 0;
}

void mm_set_handler_ops(const struct mm_handler_ops *ops)
{
	mm_handler = ops;
}

static uf_ref *area_refs(const struct mm_space *space)
{
	return arena_at(space->areas);
}

struct mm_area *mm_area_at(const struct mm_space *space, uint32_t i)
{
	return i < space->nareas ? arena_at(area_refs(space)[i]) : NULL;
}

uint32_t mm_area_index(const struct mm_space *space, uint64_t addr)
{
	uint32_t lo = 0, hi = space->nareas;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (mm_area_at(space, mid)->end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

struct mm_area *mm_area_find(const struct mm_space *space, uint64_t addr)
{
	struct mm_area *a = mm_area_at(space, mm_area_index(space, addr));

	return a && a->start <= addr ? a : NULL;
}

struct mach_span mm_area_span(const struct mm_area *a)
{
	return (struct mach_span){
		.map = &mm_area_table(a)->map,
		.addr = a->start,
		.first = a->pgoff,
		.npages = (a->end - a->start) >> UF_PAGE_SHIFT,
		.prot = a->prot,
	};
}

struct mm_view mm_area_view(const struct mm_area *a)
{
	return (struct mm_view){.table = mm_area_table(a), .span = mm_area_span(a)};
}

/* Which page of its file the area shows at this address of its. */
static uint64_t file_page(const struct mm_area *a, uint64_t addr)
{
	return mm_area_table(a)->file_page + mm_area_page(a, addr);
}

bool mm_area_same(const struct mm_area *a, const struct mm_area *b)
{
	const struct mm_table *ta = mm_area_table(a), *tb = mm_area_table(b);

	return a->end == b->start && a->prot == b->prot && a->flags == b->flags &&
	       a->modes == b->modes && a->handler == b->handler && ta->type == tb->type &&
	       ta->dev == tb->dev && ta->ino == tb->ino && ta->owner == tb->owner &&
	       (ta->ino == 0 || file_page(a, a->end) == file_page(b, b->start));
}

uint64_t mm_area_run_end(const struct mm_space *space, uint64_t addr)
{
	uint32_t i = mm_area_index(space, addr);
	struct mm_area *a = mm_area_at(space, i), *next;

	if (!a || a->start > addr)
		return 0;
	while ((next = mm_area_at(space, ++i)) != NULL && mm_area_same(a, next))
		a = next;
	return a->end;
}

int mm_area_reserve(struct mm_space *space, uint32_t n)
{
	uint32_t cap = space->cap ? space->cap : 16;
	uf_ref *refs;

	if (space->nareas + n <= space->cap)
		return 0;
	while (cap < space->nareas + n)
		cap *= 2;
	refs = arena_alloc((uint64_t)cap * sizeof(*refs));
	if (!refs)
		return -ENOMEM;
	if (space->areas) {
		memcpy(refs, area_refs(space), space->nareas * sizeof(*refs));
		arena_free(area_refs(space), (uint64_t)space->cap * sizeof(*refs));
	}
	space->areas = arena_ref(refs);
	space->cap = cap;
	return 0;
}

struct mm_area *mm_area_new(struct mm_space *space, const struct mm_area *fields)
{
	struct mm_area *a;

	if (mm_area_reserve(space, 1) != 0)
		return NULL;
	a = arena_alloc(sizeof(*a));
	if (a)
		*a = *fields;
	return a;
}

void mm_area_link(struct mm_space *space, struct mm_area *a)
{
	uint32_t i = mm_area_index(space, a->start);
	uf_ref *refs = area_refs(space);

	memmove(refs + i + 1, refs + i, (space->nareas - i) * sizeof(*refs));
	refs[i] = arena_ref(a);
	space->nareas++;
	atomic_fetch_add(&space->changes, 1);
	atomic_store_explicit(&space->active, 1, memory_order_release);
}

struct mm_area *mm_area_begin(struct mm_space *space, const struct mm_area *fields,
			      struct mm_table *table)
{
	struct mm_area *a = mm_area_new(space, fields);

	if (a)
		a->table = arena_ref(table);
	else
		mm_table_free(table);
	return a;
}

int mm_area_finish(struct mm_space *space, struct mm_area *a, int err)
{
	if (err) {
		mm_table_free(mm_area_table(a));
		arena_free(a, sizeof(*a));
		return err;
	}
	mm_area_link(space, a);
	space->pages += (a->end - a->start) >> UF_PAGE_SHIFT;
	mm_note_mappings(space);
	mm_note_bookkeeping(space);
	return 0;
}

int mm_area_insert(struct mm_space *space, const struct mm_area *fields)
{
	struct mm_area *a = mm_area_new(space, fields);

	if (!a)
		return -ENOMEM;
	mm_area_link(space, a);
	return 0;
}

void mm_area_rebase(struct mm_space *space, struct mm_area *a, uint64_t start)
{
	uint32_t i = mm_area_index(space, a->start);
	uf_ref *refs = area_refs(space);

	memmove(refs + i, refs + i + 1, (space->nareas - i - 1) * sizeof(*refs));
	space->nareas--;
	a->end = start + (a->end - a->start);
	a->start = start;
	mm_area_link(space, a);
}

/* Take n areas out of the array, from the i-th on, and free them. */
static void area_drop(struct mm_space *space, uint32_t i, uint32_t n)
{
	uf_ref *refs = area_refs(space);

	for (uint32_t k = i; k < i + n; k++)
		arena_free(arena_at(refs[k]), sizeof(struct mm_area));
	memmove(refs + i, refs + i + n, (space->nareas - i - n) * sizeof(*refs));
	space->nareas -= n;
	atomic_fetch_add(&space->changes, 1);
	if (space->nareas == 0)
		atomic_store_explicit(&space->active, 0, memory_order_release);
}

int mm_area_split(struct mm_space *space, uint64_t addr)
{
	struct mm_area *a = mm_area_find(space, addr), tail;
	int err;

	if (!a || a->start == addr)
		return 0;
	if (addr & (mm_area_page_size(a) - 1))
		return -EINVAL;
	tail = *a;
	tail.start = addr;
	tail.pgoff = mm_area_page(a, addr);
	err = mm_area_reserve(space, 1);
	if (err)
		return err;
	/* Shortened first: the index of the tail is found by its end. */
	a->end = addr;
	err = mm_area_insert(space, &tail);
	if (err)
		a->end = tail.end;
	return err;
}

int mm_area_split_range(struct mm_space *space, uint64_t start, uint64_t end)
{
	int err = mm_area_split(space, start);

	return err ? err : mm_area_split(space, end);
}

void mm_area_merge(struct mm_space *space, uint64_t start, uint64_t end)
{
	uint32_t i = mm_area_index(space, start ? start - 1 : 0);
	struct mm_area *a, *b;

	while ((a = mm_area_at(space, i)) != NULL && a->start <= end) {
		b = mm_area_at(space, i + 1);
		if (b && mm_area_same(a, b) && a->table == b->table &&
		    mm_area_page(a, a->end) == b->pgoff) {
			a->end = b->end;
			area_drop(space, i + 1, 1);
		} else {
			i++;
		}
	}
}

void mm_area_remove_range(struct mm_space *space, uint64_t start, uint64_t end)
{
	uint32_t first = mm_area_index(space, start), n = 0;
	struct mm_area *a;

	while ((a = mm_area_at(space, first + n)) != NULL && a->start < end) {
		struct mm_table *table = mm_area_table(a);
		uint64_t pages = (a->end - a->start) >> UF_PAGE_SHIFT;

		mm_zap(space, a, a->start, a->end, &(struct mm_zap){.unmapped = true});
		space->pages -= pages;
		table->live -= pages;
		if (table->live == 0)
			mm_table_retire(table);
		n++;
	}
	if (n)
		area_drop(space, first, n);
}

void mm_area_forget(struct mm_space *space, uint64_t start, uint64_t end)
{
	mach_map_left(start, (end - start) >> UF_PAGE_SHIFT);
	mm_area_remove_range(space, start, end);
}

int mm_area_info(struct mm_space *space, uint32_t n, struct mm_area_info *out)
{
	struct mm_area *a;

	mm_read_lock(space);
	a = mm_area_at(space, n);
	if (a)
		*out = (struct mm_area_info){.start = a->start,
					     .end = a->end,
					     .prot = a->prot,
					     .modes = a->modes,
					     .flags = a->flags,
					     .type = mm_area_type(a)->name};
	mm_read_unlock(space);
	return a ? 0 : -ENOENT;
}

uint32_t mm_count_registered(struct mm_space *space, uint64_t *pages)
{
	const struct mm_area *a;
	uint32_t n = 0;

	*pages = 0;
	mm_read_lock(space);
	for (uint32_t i = 0; (a = mm_area_at(space, i)); i++) {
		if (!a->handler)
			continue;
		n++;
		*pages += (a->end - a->start) >> UF_PAGE_SHIFT;
	}
	mm_read_unlock(space);
	return n;
}

void mm_note_mappings(struct mm_space *space)
{
	uint64_t mappings, budget;

	mach_usage(&mappings, &budget);
	mm_stat_peak(space->stats, MM_STAT_MAPPINGS, mappings);
	mm_stat_peak(space->stats, MM_STAT_BUDGET, budget);
}

void mm_note_bookkeeping(struct mm_space *space)
{
	mm_stat_peak(space->stats, MM_STAT_PAGES, space->pages);
	mm_stat_peak(space->stats, MM_STAT_META, arena_used());
}
