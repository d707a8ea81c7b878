/*
 * move.c - UFFDIO_MOVE: pages change their address. Runs alone, under the write lock, so that no
 * access can fall between: the source is closed, its contents go over, the destination is opened.
 */
#include "mm/internal.h"

#include <errno.h>

/* How much of an unmanaged source is taken over at a time, around what is asked for. */
#define TAKE_OVER_BYTES (64ull << 20)

struct moving {
	struct mm_space *space;
	struct mm_area *dst, *src;
	uint64_t dst_addr, src_addr, len, at;
	bool allow_holes;
};

/* Private memory of the program that was never registered becomes an area first. */
static int take_over_source(struct mm_space *space, uint64_t src, uint64_t len)
{
	struct mach_vma vma;
	uint64_t start, end;

	if (mm_area_find(space, src))
		return 0;
	if (mach_vma_next(src, &vma) != 0 || vma.start > src)
		return -ENOENT;
	if (vma.end < src + len || vma.kind != MACH_VMA_ANON || vma.shared || vma.growsdown)
		return -EINVAL;
	start = mm_max(vma.start, src & ~(TAKE_OVER_BYTES - 1));
	end = mm_min(vma.end, (src + len + TAKE_OVER_BYTES - 1) & ~(TAKE_OVER_BYTES - 1));
	return mm_take_over(space, start, end);
}

static int check_move(const struct moving *m, uf_ref handler)
{
	const struct mm_area *d = m->dst, *s = m->src;

	if (mm_area_run_end(m->space, m->dst_addr) < m->dst_addr + m->len ||
	    mm_area_run_end(m->space, m->src_addr) < m->src_addr + m->len)
		return -EINVAL;
	if (d->handler != handler || d->prot != s->prot || !(d->prot & UF_PROT_WRITE) ||
	    ((d->flags | s->flags) & MM_AREA_SHARED) || ((d->flags ^ s->flags) & MM_AREA_LOCKED) ||
	    mm_area_table(d)->type != mm_area_table(s)->type || !mm_area_type(d)->move)
		return -EINVAL;
	return 0;
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

static int move_run(struct moving *m)
{
	uint64_t dpage = mm_area_page(m->dst, m->dst_addr + m->at);
	uint64_t spage = mm_area_page(m->src, m->src_addr + m->at);
	uint64_t limit = run_limit(m, dpage, spage), n = 0;
	struct mach_span span = mm_area_span(m->src);
	mm_entry *d, *s;
	int err;

	err = entries_at(m->dst, dpage, &d);
	if (!err)
		err = entries_at(m->src, spage, &s);
	if (err)
		return err;
	if (mm_kind(*d) != MM_EMPTY)
		return -EEXIST;
	if (mm_kind(*s) == MM_SWAP) {
		err = mm_draw(m->space, m->src, spage, s - spage % MM_LEAF_ENTRIES);
		if (err)
			return err;
	}
	if (mm_kind(*s) != MM_PRESENT) {
		if (mm_kind(*s) == MM_MARKER || !m->allow_holes)
			return mm_kind(*s) == MM_MARKER ? -EFAULT : -ENOENT;
		m->at += UF_PAGE_SIZE;
		return 0;
	}
	while (n < limit && mm_kind(s[n]) == MM_PRESENT && mm_kind(d[n]) == MM_EMPTY &&
	       ((s[n] ^ s[0]) & MM_RWP) == 0)
		n++;
	mach_tlb_limit(&span, spage, n, 0);
	err = mm_area_type(m->dst)->move(mm_area_table(m->dst), dpage, mm_area_table(m->src), spage,
					 n);
	if (err)
		return err;
	for (uint64_t i = 0; i < n; i++) {
		d[i] = moved_entry(m->dst, dpage + i, s[i]);
		s[i] = 0;
	}
	mm_area_type(m->src)->remove(mm_area_table(m->src), spage, n);
	(void)mm_open(m->dst, dpage, n, mm_entry_prot(m->dst, d[0]));
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

int mm_move(struct mm_space *space, uf_ref handler, uint64_t dst, uint64_t src, uint64_t len,
	    bool allow_holes, uint64_t *done)
{
	struct moving m = {.space = space,
			   .dst_addr = dst,
			   .src_addr = src,
			   .len = len,
			   .allow_holes = allow_holes};
	struct mach_vma vma;
	int err = 0;

	mach_write_lock(&space->lock);
	if (!mm_area_find(space, dst))
		err = mach_vma_next(dst, &vma) != 0 || vma.start > dst ? -ENOENT : -EINVAL;
	if (!err && mm_area_find(space, dst)->handler != handler)
		err = -EINVAL;
	if (!err)
		err = take_over_source(space, src, len);
	if (!err)
		err = find_both(&m);
	if (!err)
		err = check_move(&m, handler);
	while (!err && m.at < len) {
		err = find_both(&m);
		if (!err)
			err = move_run(&m);
	}
	mach_write_unlock(&space->lock);
	mm_stat_add(space->stats, MM_STAT_FILLED, m.at >> UF_PAGE_SHIFT);
	*done = m.at;
	return err;
}
