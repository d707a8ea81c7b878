/*
 * move.c - UFFDIO_MOVE: pages change their address. Runs alone, under the write lock, so that no
 * access can fall between: the source is closed, its contents go over, the destination is opened.
 */
#include "mm/internal.h"

#include <errno.h>

struct moving {
	struct mm_space *space;
	struct mm_area *dst, *src;
	uint64_t dst_addr, src_addr, len, at;
	bool allow_holes;
	bool unmanaged; /* the source is no area */
};

/* May pages go from one of these types to the other? */
static bool can_move(const struct mm_space *space, const struct mm_area *d, const struct mm_area *s)
{
	const struct mm_type *to = mm_area_type(d), *from = mm_area_type(s);

	if (!to->move || !from->move || to->page_shift != from->page_shift)
		return false;
	if (space->options & MM_OPTION_MOVE_ANY)
		return true;
	return (to->flags & from->flags & MM_TYPE_MOVE) &&
	       !((d->flags | s->flags) & MM_AREA_SHARED);
}

static int check_move(const struct moving *m, uf_ref handler)
{
	const struct mm_area *d = m->dst, *s = m->src;

	if (mm_area_run_end(m->space, m->dst_addr) < m->dst_addr + m->len ||
	    mm_area_run_end(m->space, m->src_addr) < m->src_addr + m->len)
		return -EINVAL;
	if ((handler && d->handler != handler) || d->prot != s->prot ||
	    !(d->prot & UF_PROT_WRITE) || ((d->flags ^ s->flags) & MM_AREA_LOCKED) ||
	    !can_move(m->space, d, s))
		return -EINVAL;
	return (m->dst_addr | m->src_addr | m->len) & (mm_area_page_size(d) - 1) ? -EINVAL : 0;
}

/* Marks that go with the page: read-write-protection does, write-protection does not. */
static mm_entry moved_entry(const struct mm_area *dst, uint64_t page, mm_entry from)
{
	uint64_t keep = dst->modes & MM_MODE_RWP ? from & MM_RWP : 0;

	return mm_make_present(page, keep | MM_SOFTDIRTY);
}

/* Lock-free views of both leaves: the write lock keeps everybody else out. */
static int entries_at(const struct mm_area *a, uint64_t page, mm_entry **entry)
{
	mm_entry *entries;
	int err = mm_leaf_lock(mm_area_table(a), page, true, &entries);

	if (err)
		return err;
	mm_leaf_unlock(mm_area_table(a), page);
	*entry = entries + page % MM_LEAF_ENTRIES;
	return 0;
}

/* How many pages from here can go in one piece: both sides in one leaf and area, no overlap. */
static uint64_t run_limit(const struct moving *m, uint64_t dpage, uint64_t spage)
{
	uint64_t dst = m->dst_addr + m->at, src = m->src_addr + m->at;
	uint64_t distance = (dst > src ? dst - src : src - dst) >> UF_PAGE_SHIFT;
	uint64_t n = (m->len - m->at) >> UF_PAGE_SHIFT;

	n = mm_min(n, (m->dst->end - dst) >> UF_PAGE_SHIFT);
	n = mm_min(n, (m->src->end - src) >> UF_PAGE_SHIFT);
	n = mm_leaf_run(dpage, mm_leaf_run(spage, n));
	return mm_max(1, mm_min(n, distance));
}

/* How many pages from these on can go: there, not there yet, and with the same marks. */
static uint64_t movable(const struct moving *m, const mm_entry *d, const mm_entry *s,
			uint64_t limit)
{
	struct mm_view v = mm_area_view(m->dst);
	uint64_t dpage = mm_area_page(m->dst, m->dst_addr + m->at), n = 0;
	long room;

	while (n < limit && mm_kind(s[n]) == MM_PRESENT && mm_kind(d[n]) == MM_EMPTY &&
	       ((s[n] ^ s[0]) & MM_RWP) == 0)
		n++;
	/* In a page cache the destination's place must be free, too. */
	if (mm_area_type(m->dst)->lookup == mm_default_lookup_none)
		return n;
	room = mm_area_type(m->dst)->alloc(&v, dpage, n);
	return room < 0 ? 0 : mm_min(n, (uint64_t)room);
}

/* The source is there: bring it in if it stands elsewhere. *hole: it is not. */
static int source_present(struct moving *m, uint64_t spage, mm_entry *s, bool *hole)
{
	int err = 0;

	*hole = false;
	switch (mm_kind(*s)) {
	case MM_PRESENT:
		return 0;
	case MM_SWAP:
		if (mm_in_type_store(*s))
			return -EBUSY;
		err = mm_draw(m->space, m->src, spage, s - spage % MM_LEAF_ENTRIES);
		return err;
	case MM_MARKER:
		return -EFAULT;
	case MM_EMPTY:
		*hole = true;
		return m->allow_holes ? 0 : -ENOENT;
	}
	return -EFAULT;
}

static int move_run(struct moving *m)
{
	uint64_t dpage = mm_area_page(m->dst, m->dst_addr + m->at);
	uint64_t spage = mm_area_page(m->src, m->src_addr + m->at);
	uint64_t limit = run_limit(m, dpage, spage), n;
	struct mm_view dst = mm_area_view(m->dst), src = mm_area_view(m->src);
	mm_entry *d, *s, was;
	bool hole;
	int err;

	err = entries_at(m->dst, dpage, &d);
	if (!err)
		err = entries_at(m->src, spage, &s);
	if (err)
		return err;
	if (mm_kind(*d) != MM_EMPTY)
		return -EEXIST;
	err = source_present(m, spage, s, &hole);
	if (err)
		return err;
	if (hole) {
		m->at += mm_area_page_size(m->src);
		return 0;
	}
	n = movable(m, d, s, limit);
	if (n == 0)
		return -EEXIST;
	n = mach_pages_unshared(&src.span, spage, n) & ~(mm_area_group(m->src) - 1);
	if (n == 0)
		return -EBUSY;
	was = *s;
	mach_tlb_limit(&src.span, spage, n, 0);
	if (src.table->map.kind == MACH_MAP_SHARED)
		mm_file_vacate(m->space, src.table, spage, n);
	err = mm_area_type(m->dst)->move(&dst, dpage, &src, spage, n);
	if (err)
		return err;
	for (uint64_t i = 0; i < n; i++) {
		d[i] = moved_entry(m->dst, dpage + i, was);
		s[i] = 0;
	}
	mm_account(m->space, src.table, -(int64_t)n);
	mm_account(m->space, dst.table, (int64_t)n);
	(void)mm_open(m->dst, dpage, n, d);
	m->at += n << UF_PAGE_SHIFT;
	return 0;
}

/* The areas of this round; both ranges may cross borders that the kernel would not have. */
static int find_both(struct moving *m)
{
	m->dst = mm_area_find(m->space, m->dst_addr + m->at);
	m->src = mm_area_find(m->space, m->src_addr + m->at);
	return m->dst && m->src ? 0 : -ENOENT;
}

/* ---- From memory that is not managed ----------------------------------------------------------
 * Its pages can be had without it: programs move theirs one by one out of large buffers, and an
 * area for each would be too many.
 */

/* Could all of the source become one area that would give its pages to the destination? */
static bool source_unmanaged(const struct moving *m)
{
	const struct mm_area *d = m->dst, *next;
	uint64_t end = m->src_addr + m->len;
	struct mach_vma vma;

	next = mm_area_at(m->space, mm_area_index(m->space, m->src_addr));
	if ((next && next->start < end) || mach_vma_next(m->src_addr, &vma) != 0 ||
	    vma.start > m->src_addr || vma.end < end)
		return false;
	return vma.kind == MACH_VMA_ANON && !vma.growsdown && !mach_vma_locked(m->src_addr) &&
	       (mm_area_type(d)->flags & MM_TYPE_MOVE) && d->prot == vma.prot &&
	       (d->prot & UF_PROT_WRITE) && !(d->flags & (MM_AREA_SHARED | MM_AREA_LOCKED)) &&
	       mm_area_run_end(m->space, m->dst_addr) >= m->dst_addr + m->len;
}

/* -EINVAL before the first page: the machine cannot, and the source must be an area. */
static int take_run(struct moving *m)
{
	uint64_t dst = m->dst_addr + m->at, dpage, limit, n = 0;
	struct mm_view v;
	mm_entry *d;
	long took;
	int err;

	m->dst = mm_area_find(m->space, dst);
	v = mm_area_view(m->dst);
	dpage = mm_area_page(m->dst, dst);
	limit = mm_min(m->len - m->at, m->dst->end - dst) >> UF_PAGE_SHIFT;
	limit = mm_leaf_run(dpage, limit);
	err = entries_at(m->dst, dpage, &d);
	if (err)
		return err;
	while (n < limit && mm_kind(d[n]) == MM_EMPTY)
		n++;
	if (n == 0)
		return -EEXIST;
	took = mach_frames_take(&v.span, dpage, n, m->src_addr + m->at);
	if (took < 0)
		return (int)took;
	if (took == 0) {
		m->at += m->allow_holes ? UF_PAGE_SIZE : 0;
		return m->allow_holes ? 0 : -ENOENT;
	}
	for (uint64_t i = 0; i < (uint64_t)took; i++)
		d[i] = mm_make_present(dpage + i, MM_SOFTDIRTY);
	mm_account(m->space, v.table, took);
	(void)mm_open(m->dst, dpage, (uint64_t)took, d);
	m->at += (uint64_t)took << UF_PAGE_SHIFT;
	return 0;
}

/* ---- The call ----------------------------------------------------------------------------------
 */

/* The destination is an area, or becomes one if it need not be registered. */
static int prepare_dst(struct moving *m, uf_ref handler)
{
	struct mach_vma vma;
	int err = 0;

	if (handler == 0)
		err = mm_take_over_range(m->space, m->dst_addr, m->len);
	m->dst = mm_area_find(m->space, m->dst_addr);
	if (err)
		return err;
	if (!m->dst)
		return mach_vma_next(m->dst_addr, &vma) != 0 || vma.start > m->dst_addr ? -ENOENT
											: -EINVAL;
	return handler && m->dst->handler != handler ? -EINVAL : 0;
}

static int prepare_src(struct moving *m, uf_ref handler)
{
	int err = mm_take_over_range(m->space, m->src_addr, m->len);

	m->unmanaged = false;
	if (!err)
		err = find_both(m);
	return err ? err : check_move(m, handler);
}

int mm_move(struct mm_space *space, uf_ref handler, uint64_t dst, uint64_t src, uint64_t len,
	    bool allow_holes, const struct mm_stop *stop, uint64_t *done)
{
	struct moving m = {.space = space,
			   .dst_addr = dst,
			   .src_addr = src,
			   .len = len,
			   .allow_holes = allow_holes};
	int err;

	mach_write_lock(&space->lock);
	err = prepare_dst(&m, handler);
	if (!err)
		m.unmanaged = source_unmanaged(&m);
	if (!err && !m.unmanaged)
		err = prepare_src(&m, handler);
	if (!err && stop && stop->err)
		m.len = mm_min(stop->at & ~(mm_area_page_size(m.dst) - 1), len);
	while (!err && m.at < m.len) {
		if (m.unmanaged) {
			err = take_run(&m);
			if (err == -EINVAL)
				err = prepare_src(&m, handler);
			continue;
		}
		err = find_both(&m);
		if (!err)
			err = move_run(&m);
	}
	if (!err && m.at < len)
		err = stop->err;
	mach_write_unlock(&space->lock);
	mm_stat_add(space->stats, MM_STAT_FILLED, m.at >> UF_PAGE_SHIFT);
	/* Contents that there were have come under a limit: what is too much leaves now. */
	if (m.at > 0)
		(void)mm_reclaim(space, dst, 0);
	*done = m.at;
	return err;
}
