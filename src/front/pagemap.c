/*
 * pagemap.c - /proc/self/pagemap and its PAGEMAP_SCAN: the truth about managed ranges.
 *
 * To the kernel a managed page is a page of a memory file, or a guard. Its words for such pages are
 * replaced by mm's; the gaps between are the kernel's to tell.
 */
#include "front/preload.h"

#include <string.h>

/* ---- reading -----------------------------------------------------------------------------------
 */

#define WORDS 512u

/* Replace the words of [page, page + n) in buf, where a word may begin at any byte. */
static void correct_piece(char *buf, uint64_t addr, uint64_t n)
{
	uint64_t words[WORDS], part;
	struct mach_entry entry;
	int err;

	for (; n; n -= part) {
		part = n < WORDS ? n : WORDS;
		mach_enter(&entry);
		err = mm_pagemap(mm_space_self, addr, part, words);
		mach_leave(&entry);
		if (err)
			return;
		memcpy(buf, words, part * sizeof(words[0]));
		buf += part * sizeof(words[0]);
		addr += part * UF_PAGE_SIZE;
	}
}

void pagemap_correct(void *buf, size_t n, uint64_t off)
{
	uint64_t at = off / 8 * UF_PAGE_SIZE, end = (off + n) / 8 * UF_PAGE_SIZE, next;
	struct mach_entry entry;
	char *out = buf;
	bool mine;

	if (off % 8 || !front_managing())
		return;
	for (; at < end; at = next) {
		mach_enter(&entry);
		mine = mm_piece(mm_space_self, at, end, &next);
		mach_leave(&entry);
		if (mine)
			correct_piece(out, at, (next - at) / UF_PAGE_SIZE);
		out += (next - at) / UF_PAGE_SIZE * 8;
	}
}

/* ---- scanning ----------------------------------------------------------------------------------
 */

struct scan_arg {
	uint64_t size, flags;
	uint64_t start, end, walk_end;
	uint64_t vec, vec_len;
	uint64_t max_pages;
	uint64_t inverted, mask, anyof, returned;
};
_Static_assert(sizeof(struct scan_arg) == 96, "struct pm_scan_arg");

struct region {
	uint64_t start, end, categories;
};

#define WP_MATCHING   1ull
#define CHECK_WPASYNC 2ull
#define WPALLOWED     1ull
/* WPALLOWED, WRITTEN, FILE, PRESENT, SWAPPED, PFNZERO, HUGE, SOFT_DIRTY, GUARD */
#define KERNEL_CATEGORIES 0x1ffull
/* ACCESSED, of read-write protection */
#define ALL_CATEGORIES 0x3ffull

struct scan {
	struct scan_arg arg;
	int fd;
	uint64_t full;	   /* regions that stand in the program's vector */
	struct region cur; /* the one that still grows; start == end: none */
	uint64_t pages;
	uint64_t wp_start, wp_end; /* to be protected */
};

/* The walk stops here, without an error. */
#define STOP 1

static int check_arg(const struct scan_arg *a)
{
	const uint64_t top = mach_task_size();

	if (a->size != sizeof(*a) || (a->flags & ~(WP_MATCHING | CHECK_WPASYNC)) ||
	    ((a->inverted | a->mask | a->anyof | a->returned) & ~ALL_CATEGORIES) ||
	    (a->start & ~UF_PAGE_MASK))
		return -EINVAL;
	if (a->start > a->end || a->end > top)
		return -EFAULT;
	if (!a->vec && a->vec_len)
		return -EINVAL;
	if (a->vec && (a->vec > top || a->vec_len > (top - a->vec) / sizeof(struct region)))
		return -EFAULT;
	return 0;
}

static bool interesting(const struct scan_arg *a, uint64_t categories)
{
	categories ^= a->inverted;
	return (categories & a->mask) == a->mask && (!a->anyof || (categories & a->anyof));
}

static int flush_region(struct scan *s)
{
	uint64_t to = s->arg.vec + s->full * sizeof(s->cur);

	if (s->cur.start == s->cur.end)
		return 0;
	if (mach_copy_out(to, &s->cur, sizeof(s->cur)) < 0)
		return -EFAULT;
	s->full++;
	s->cur.start = s->cur.end = 0;
	return 0;
}

/* One matching page goes to the vector; STOP when there is no room, and it does not count. */
static int output(struct scan *s, uint64_t addr, uint64_t categories)
{
	int err;

	if (!s->arg.vec)
		return 0;
	if (s->pages == s->arg.max_pages)
		return STOP;
	categories &= s->arg.returned;
	if (s->cur.start != s->cur.end && s->cur.end == addr && s->cur.categories == categories) {
		s->cur.end += UF_PAGE_SIZE;
	} else {
		if (s->full + (s->cur.start != s->cur.end) >= s->arg.vec_len)
			return STOP;
		err = flush_region(s);
		if (err)
			return err;
		s->cur = (struct region){addr, addr + UF_PAGE_SIZE, categories};
	}
	s->pages++;
	return 0;
}

static int flush_protect(struct scan *s)
{
	struct mach_entry entry;
	int err = 0;

	if (s->wp_start == s->wp_end)
		return 0;
	mach_enter(&entry);
	err = mm_scan_protect(mm_space_self, s->wp_start, s->wp_end - s->wp_start);
	mach_leave(&entry);
	s->wp_start = s->wp_end = 0;
	return err;
}

static int protect_later(struct scan *s, uint64_t addr)
{
	int err = 0;

	if (s->wp_end != addr) {
		err = flush_protect(s);
		s->wp_start = addr;
	}
	s->wp_end = addr + UF_PAGE_SIZE;
	return err;
}

static int scan_page(struct scan *s, uint64_t addr)
{
	struct mm_scan_page page;
	struct mach_entry entry;
	int err;

	mach_enter(&entry);
	err = mm_scan_page(mm_space_self, addr, &page);
	mach_leave(&entry);
	if (err)
		return 0; /* unmapped since */
	if (page.wp_async)
		page.categories |= WPALLOWED;
	else if (s->arg.flags & CHECK_WPASYNC)
		return -EPERM;
	else if (s->arg.flags & WP_MATCHING)
		return 0;
	if (!interesting(&s->arg, page.categories))
		return 0;
	err = output(s, addr, page.categories);
	if (err == 0 && (s->arg.flags & WP_MATCHING))
		err = protect_later(s, addr);
	return err;
}

static int scan_managed(struct scan *s, uint64_t start, uint64_t end)
{
	uint64_t addr;
	int err = 0, late;

	for (addr = start; addr < end; addr += UF_PAGE_SIZE) {
		err = scan_page(s, addr);
		if (err)
			break;
	}
	if (err == STOP)
		s->arg.walk_end = addr;
	late = flush_protect(s);
	return late < 0 && err >= 0 ? late : err;
}

/* The kernel's regions behind ours: its first may go on where our last ends. */
static int join(struct scan *s, uint64_t n)
{
	struct region first;
	uint64_t at = s->arg.vec + s->full * sizeof(first), i;

	if (n == 0)
		return 0;
	for (i = 0; i < n; i++) {
		if (mach_copy_in(&first, at + i * sizeof(first), sizeof(first)) < 0)
			return -EFAULT;
		s->pages += (first.end - first.start) / UF_PAGE_SIZE;
	}
	/* The last one may still grow. */
	s->full += n - 1;
	s->cur = first;
	return 0;
}

/* Can the region in hand take the kernel's first? Then fold it into the vector. */
static int merge_last(struct scan *s)
{
	struct region last;
	uint64_t at = s->arg.vec + (s->full - 1) * sizeof(last);

	if (s->full == 0 || s->cur.start == s->cur.end)
		return 0;
	if (mach_copy_in(&last, at, sizeof(last)) < 0)
		return -EFAULT;
	if (last.end != s->cur.start || last.categories != s->cur.categories)
		return 0;
	s->cur.start = last.start;
	s->full--;
	return 0;
}

static int scan_native(struct scan *s, uint64_t start, uint64_t end)
{
	struct scan_arg a = s->arg;
	int err;
	long n;

	/* What the kernel does not know it has none of. */
	if (a.mask & ~a.inverted & ~KERNEL_CATEGORIES)
		return 0;
	a.inverted &= KERNEL_CATEGORIES;
	a.mask &= KERNEL_CATEGORIES;
	a.anyof &= KERNEL_CATEGORIES;
	a.returned &= KERNEL_CATEGORIES;
	if (s->arg.anyof && !a.anyof && !(s->arg.anyof & s->arg.inverted))
		return 0;
	err = flush_region(s);
	if (err)
		return err;
	a.start = start;
	a.end = end;
	if (a.vec) {
		if (s->full == a.vec_len || s->pages == a.max_pages) {
			s->arg.walk_end = start;
			return STOP;
		}
		a.vec += s->full * sizeof(struct region);
		a.vec_len -= s->full;
		a.max_pages -= s->pages;
	}
	n = SYS(SYS_ioctl, s->fd, PAGEMAP_SCAN_IOCTL, &a);
	if (n < 0)
		return (int)n;
	err = join(s, (uint64_t)n);
	if (err == 0 && n == 1)
		err = merge_last(s);
	if (err == 0 && a.walk_end != end) {
		s->arg.walk_end = a.walk_end;
		return STOP;
	}
	return err;
}

static int walk(struct scan *s)
{
	uint64_t at = s->arg.start, end = s->arg.end, next;
	struct mach_entry entry;
	int err = 0;
	bool mine;

	for (; at < end && err == 0; at = next) {
		mach_enter(&entry);
		mine = mm_piece(mm_space_self, at, end, &next);
		mach_leave(&entry);
		err = mine ? scan_managed(s, at, next) : scan_native(s, at, next);
	}
	return err;
}

long pagemap_scan(int fd, uint64_t arg)
{
	struct scan s = {.fd = fd};
	struct mach_entry entry;
	bool mine = false;
	int err, late;

	if (mach_copy_in(&s.arg, arg, sizeof(s.arg)) < 0)
		return -EFAULT;
	err = check_arg(&s.arg);
	if (err)
		return err;
	s.arg.end = (s.arg.end + UF_PAGE_SIZE - 1) & UF_PAGE_MASK;
	if (s.arg.end > s.arg.start) {
		mach_enter(&entry);
		mine = mm_managed(mm_space_self, s.arg.start, s.arg.end - s.arg.start);
		mach_leave(&entry);
	}
	if (!mine)
		return SYS(SYS_ioctl, fd, PAGEMAP_SCAN_IOCTL, arg);
	if (!s.arg.max_pages)
		s.arg.max_pages = UINT64_MAX;
	s.arg.walk_end = s.arg.end;
	err = walk(&s);
	late = flush_region(&s);
	if (err >= 0 && late < 0)
		err = late;
	if (mach_copy_out(arg + offsetof(struct scan_arg, walk_end), &s.arg.walk_end,
			  sizeof(s.arg.walk_end)) < 0)
		return -EFAULT;
	return err < 0 ? err : (long)s.full;
}
