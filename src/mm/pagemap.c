/*
 * pagemap.c - what /proc/PID/pagemap and PAGEMAP_SCAN say of managed pages.
 */
#include "mm/internal.h"

#include <errno.h>

/* pagemap words */
#define PM_SOFT_DIRTY (1ull << 55)
#define PM_EXCLUSIVE  (1ull << 56)
#define PM_WP	      (1ull << 57)
#define PM_SWAP	      (1ull << 62)
#define PM_PRESENT    (1ull << 63)

/* PAGEMAP_SCAN categories */
#define PAGE_WPALLOWED	(1ull << 0)
#define PAGE_WRITTEN	(1ull << 1)
#define PAGE_PRESENT	(1ull << 3)
#define PAGE_SWAPPED	(1ull << 4)
#define PAGE_SOFT_DIRTY (1ull << 7)
#define PAGE_ACCESSED	(1ull << 9)

static uint64_t pagemap_word(mm_entry e)
{
	uint64_t wp = e & MM_WP ? PM_WP : 0;

	switch (mm_kind(e)) {
	case MM_EMPTY:
		return 0;
	case MM_PRESENT:
	case MM_SWAP: /* aside is memory: to the program the page is there */
		return PM_PRESENT | PM_EXCLUSIVE | wp | (e & MM_SOFTDIRTY ? PM_SOFT_DIRTY : 0);
	case MM_MARKER:
		return PM_SWAP | wp;
	}
	return 0;
}

/* The entry at addr. Space locked. -ENOENT: no area; -ENOMEM. */
static int read_entry(struct mm_space *space, uint64_t addr, struct mm_area **a, mm_entry *e)
{
	mm_entry *entries;
	uint64_t page;
	int err;

	*a = mm_area_find(space, addr);
	if (!*a)
		return -ENOENT;
	page = mm_area_page(*a, addr);
	err = mm_leaf_lock(mm_area_table(*a), page, false, &entries);
	if (err)
		return err;
	*e = entries ? entries[page % MM_LEAF_ENTRIES] : 0;
	mm_leaf_unlock(mm_area_table(*a), page);
	return 0;
}

int mm_pagemap(struct mm_space *space, uint64_t addr, uint64_t n, uint64_t *out)
{
	struct mm_area *a;
	mm_entry e;
	int err = 0;

	mach_read_lock(&space->lock);
	for (uint64_t i = 0; i < n && !err; i++) {
		err = read_entry(space, addr + (i << UF_PAGE_SHIFT), &a, &e);
		if (!err)
			out[i] = pagemap_word(e);
	}
	mach_read_unlock(&space->lock);
	return err;
}

static uint64_t categories(const struct mm_area *a, mm_entry e, bool wp_async)
{
	bool rwp_area = a->modes & MM_MODE_RWP;
	uint64_t c = wp_async ? PAGE_WPALLOWED : 0;

	switch (mm_kind(e)) {
	case MM_EMPTY:
		/* Absent memory is not part of a working set that is measured by access. */
		return rwp_area ? c : c | PAGE_WRITTEN;
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
	struct mm_area *a;
	mm_entry e;
	int err;

	mach_read_lock(&space->lock);
	err = read_entry(space, addr, &a, &e);
	if (!err) {
		out->wp_async = (a->modes & MM_MODE_WP) && a->handler &&
				mm_handler->async(a->handler, MM_MODE_WP);
		out->categories = categories(a, e, out->wp_async);
	}
	mach_read_unlock(&space->lock);
	return err;
}

int mm_scan_protect(struct mm_space *space, uint64_t addr, uint64_t len)
{
	return mm_protect(space, addr, len, MM_MODE_WP, true);
}
