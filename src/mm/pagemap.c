/*
 * pagemap.c - what /proc/PID/pagemap and PAGEMAP_SCAN say of managed pages.
 */
#include "mm/internal.h"
#include "mm/trace.h"

#include <errno.h>

/* pagemap words */
#define PM_SOFT_DIRTY (1ull << 55)
#define PM_EXCLUSIVE  (1ull << 56)
#define PM_WP	      (1ull << 57)
#define PM_FILE	      (1ull << 61)
#define PM_SWAP	      (1ull << 62)
#define PM_PRESENT    (1ull << 63)

/* PAGEMAP_SCAN categories */
#define PAGE_WPALLOWED	(1ull << 0)
#define PAGE_WRITTEN	(1ull << 1)
#define PAGE_FILE	(1ull << 2)
#define PAGE_PRESENT	(1ull << 3)
#define PAGE_SWAPPED	(1ull << 4)
#define PAGE_HUGE	(1ull << 6)
#define PAGE_SOFT_DIRTY (1ull << 7)
#define PAGE_ACCESSED	(1ull << 9)

/* What there is to be said of one page. */
struct page_state {
	const struct mm_area *area;
	mm_entry entry;
	bool file; /* the page is a file's, not one of the program's own */
	bool huge;
};

static uint64_t pagemap_word(const struct page_state *p)
{
	mm_entry e = p->entry;
	uint64_t wp = e & MM_WP ? PM_WP : 0, file = p->file ? PM_FILE : 0;

	switch (mm_kind(e)) {
	case MM_EMPTY:
		return 0;
	case MM_PRESENT:
	case MM_SWAP: /* wherever it stands, to the program the page is there */
		return PM_PRESENT | PM_EXCLUSIVE | file | wp |
		       (e & MM_SOFTDIRTY ? PM_SOFT_DIRTY : 0);
	case MM_MARKER:
		return p->huge ? wp : PM_SWAP | wp;
	}
	return 0;
}

/* Does the entry show the file's page? Of a private mapping the host knows who has been copied. */
static bool shows_file(const struct mm_view *v, uint64_t page, mm_entry e)
{
	uint64_t bits[MM_LEAF_ENTRIES / 64] = {0}, group = mm_view_group(v), any = 0;

	if (mm_kind(e) != MM_PRESENT || v->table->map.kind == MACH_MAP_FRAMES || (e & MM_COPY))
		return false;
	if (v->table->map.kind == MACH_MAP_SHARED)
		return true;
	/* A large page is one to the program, also where the host copies parts of it. */
	mach_pages_private(&v->span, page & ~(group - 1), group, bits);
	for (unsigned i = 0; i < MM_LEAF_ENTRIES / 64; i++)
		any |= bits[i];
	return !any;
}

/* The page at addr. Space locked. -ENOENT: no area; -ENOMEM. */
static int read_page(struct mm_space *space, uint64_t addr, struct page_state *p)
{
	struct mm_area *a = mm_area_find(space, addr);
	mm_entry *entries;
	struct mm_view v;
	uint64_t page;
	int err;

	if (!a)
		return -ENOENT;
	v = mm_area_view(a);
	page = mm_area_page(a, addr);
	err = mm_leaf_lock(v.table, page, false, &entries);
	if (err)
		return err;
	p->area = a;
	p->entry = entries ? entries[page % MM_LEAF_ENTRIES] : 0;
	p->file = shows_file(&v, page, p->entry);
	p->huge = mm_view_group(&v) > 1;
	mm_leaf_unlock(v.table, page);
	return 0;
}

bool mm_poisoned(struct mm_space *space, uint64_t addr)
{
	struct page_state p;
	bool poisoned;

	mm_read_lock(space);
	poisoned = read_page(space, addr, &p) == 0 && mm_kind(p.entry) == MM_MARKER &&
		   (p.entry & MM_POISON);
	mm_read_unlock(space);
	return poisoned;
}

int mm_pagemap(struct mm_space *space, uint64_t addr, uint64_t n, uint64_t *out)
{
	struct page_state p;
	int err = 0;

	mm_read_lock(space);
	for (uint64_t i = 0; i < n && !err; i++) {
		err = read_page(space, addr + (i << UF_PAGE_SHIFT), &p);
		if (!err)
			out[i] = pagemap_word(&p);
	}
	mm_read_unlock(space);
	return err;
}

static uint64_t categories(const struct page_state *p, bool wp_async)
{
	bool rwp_area = p->area->modes & MM_MODE_RWP;
	uint64_t c = (wp_async ? PAGE_WPALLOWED : 0) | (p->file ? PAGE_FILE : 0) |
		     (p->huge ? PAGE_HUGE : 0);
	mm_entry e = p->entry;

	switch (mm_kind(e)) {
	case MM_EMPTY:
		/* Absent memory is not part of a working set that is measured by access. */
		return rwp_area || p->huge ? c : c | PAGE_WRITTEN;
	case MM_PRESENT:
	case MM_SWAP:
		c |= PAGE_PRESENT;
		if (rwp_area && !(e & MM_RWP))
			c |= PAGE_ACCESSED;
		if (e & MM_SOFTDIRTY)
			c |= PAGE_SOFT_DIRTY;
		break;
	case MM_MARKER:
		c |= PAGE_SWAPPED;
		break;
	}
	return e & MM_WP ? c : c | PAGE_WRITTEN;
}

int mm_scan_page(struct mm_space *space, uint64_t addr, struct mm_scan_page *out)
{
	struct page_state p;
	int err;

	mm_read_lock(space);
	err = read_page(space, addr, &p);
	if (!err) {
		out->wp_async = (p.area->modes & MM_MODE_WP) && p.area->handler &&
				mm_handler->async(p.area->handler, MM_MODE_WP);
		out->categories = categories(&p, out->wp_async);
	}
	mm_read_unlock(space);
	return err;
}

int mm_scan_protect(struct mm_space *space, uint64_t addr, uint64_t len)
{
	uint64_t began = mm_trace_now();
	int err = mm_protect(space, addr, len, MM_MODE_WP, true);

	if (!err)
		mm_trace_range(TRACE_PROTECT, 0, began, addr, len, 0);
	return err;
}
