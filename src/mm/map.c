/*
 * map.c - munmap, mmap over, mprotect, madvise and mlock on managed ranges. mremap is in remap.c.
 */
#include "mm/events.h"
#include "mm/trace.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

bool mm_managed(struct mm_space *space, uint64_t start, uint64_t len)
{
	struct mm_area *a;
	bool managed;

	if (!space || !atomic_load_explicit(&space->active, memory_order_acquire))
		return false;
	mm_read_lock(space);
	a = mm_area_at(space, mm_area_index(space, start));
	managed = a && a->start < start + len;
	mm_read_unlock(space);
	return managed;
}

bool mm_piece(struct mm_space *space, uint64_t start, uint64_t end, uint64_t *piece_end)
{
	bool managed;
	uint32_t i;
	struct mm_area *a, *next;

	mm_read_lock(space);
	i = mm_area_index(space, start);
	a = mm_area_at(space, i);
	managed = a && a->start <= start;
	if (managed) {
		while ((next = mm_area_at(space, ++i)) != NULL && next->start == a->end)
			a = next;
		*piece_end = mm_min(a->end, end);
	} else {
		*piece_end = a ? mm_min(a->start, end) : end;
	}
	mm_read_unlock(space);
	return managed;
}

int mm_munmap(struct mm_space *space, uint64_t start, uint64_t len, const struct mach_entry *entry)
{
	struct mm_told told = {0};
	uint64_t end = start + len;
	int err;

	mach_write_lock(&space->lock);
	err = mm_area_split_range(space, start, end);
	if (!err) {
		mm_tell_range(space, &told, start, end, MM_EVENT_UNMAP);
		err = mach_munmap(start, len);
	}
	if (!err)
		mm_area_remove_range(space, start, end);
	mach_write_unlock(&space->lock);
	if (err)
		mm_untell(&told);
	else
		mm_trace_range(TRACE_UNRANGE, 0, 0, start, len, 0);
	mm_told(space, &told, MM_EVENT_UNMAP, start, end, 0, entry);
	return err;
}

int mm_mmap_fixed(struct mm_space *space, uint64_t start, uint64_t len, int prot, int flags, int fd,
		  uint64_t off, const struct mach_entry *entry)
{
	struct mm_told told = {0};
	uint64_t end = start + len;
	int err;

	mach_write_lock(&space->lock);
	err = mm_area_split_range(space, start, end);
	if (!err)
		err = mach_mmap_over(start, len, prot, flags, fd, off);
	if (!err) {
		mm_tell_range(space, &told, start, end, MM_EVENT_UNMAP);
		mm_area_remove_range(space, start, end);
	}
	mach_write_unlock(&space->lock);
	if (!err)
		mm_trace_range(TRACE_UNRANGE, 0, 0, start, len, 0);
	mm_told(space, &told, MM_EVENT_UNMAP, start, end, 0, entry);
	return err;
}

static void forget_range(struct mm_space *space, uint64_t start, uint64_t end)
{
	struct mm_area *a = mm_area_at(space, mm_area_index(space, start));

	if (a && a->start < end && mm_area_split_range(space, start, end) == 0)
		mm_area_forget(space, start, end);
}

void mm_forget_range(struct mm_space *space, uint64_t start, uint64_t len)
{
	mach_write_lock(&space->lock);
	forget_range(space, start, start + len);
	mach_write_unlock(&space->lock);
}

long mm_land(struct mm_space *space, uint64_t len, long (*map)(void *arg, uint64_t *len), void *arg)
{
	long at;

	mach_write_lock(&space->lock);
	at = map(arg, &len);
	if (len && (at > 0 || at < -4095))
		forget_range(space, (uint64_t)at, (uint64_t)at + len);
	mach_write_unlock(&space->lock);
	return at;
}

/* The TLB never lets through more than the area allows; what it may open, misses open. */
static void restrict_area(const struct mm_area *a)
{
	struct mach_span span = mm_area_span(a);

	mach_tlb_limit(&span, a->pgoff, span.npages, a->prot);
}

int mm_mprotect(struct mm_space *space, uint64_t start, uint64_t len, uint32_t prot)
{
	uint64_t end = start + len;
	struct mm_area *a;
	uint32_t i;
	int err;

	mach_write_lock(&space->lock);
	err = mm_area_split_range(space, start, end);
	for (i = mm_area_index(space, start);
	     !err && (a = mm_area_at(space, i)) != NULL && a->start < end; i++) {
		a->prot = prot;
		atomic_fetch_add(&space->changes, 1);
		restrict_area(a);
	}
	mm_area_merge(space, start, end);
	mach_write_unlock(&space->lock);
	return err;
}

/* Only private anonymous memory can be wiped. */
static bool takes_flags(struct mm_space *space, uint64_t start, uint64_t end, uint32_t set)
{
	struct mm_area *a;

	for (uint32_t i = mm_area_index(space, start);
	     (a = mm_area_at(space, i)) != NULL && a->start < end; i++)
		if ((set & MM_AREA_WIPEFORK) && mm_area_table(a)->map.kind != MACH_MAP_FRAMES)
			return false;
	return true;
}

static int set_flags(struct mm_space *space, uint64_t start, uint64_t end, uint32_t set,
		     uint32_t clear)
{
	struct mm_area *a;
	uint32_t i;
	int err;

	mach_write_lock(&space->lock);
	err = takes_flags(space, start, end, set) ? mm_area_split_range(space, start, end)
						  : -EINVAL;
	for (i = mm_area_index(space, start);
	     !err && (a = mm_area_at(space, i)) != NULL && a->start < end; i++)
		a->flags = (a->flags | set) & ~clear;
	mm_area_merge(space, start, end);
	mach_write_unlock(&space->lock);
	return err;
}

enum populate {
	POPULATE_READ,
	POPULATE_WRITE,
	POPULATE_LOCK
};

/* Locking writes where it may, so that a later write finds a page of its own. */
static bool locks_by_writing(struct mm_space *space, uint64_t addr)
{
	struct mm_area *a;
	bool writes;

	mm_read_lock(space);
	a = mm_area_find(space, addr);
	writes = a && (a->prot & UF_PROT_WRITE) && !(a->flags & MM_AREA_SHARED);
	mm_read_unlock(space);
	return writes;
}

/* Fault every page in, as the kernel does for MADV_POPULATE_ and mlock. */
static int populate_range(struct mm_space *space, uint64_t start, uint64_t end, enum populate how)
{
	struct mm_access access = {.write = how == POPULATE_WRITE, .kernel = true};
	uint64_t word;

	for (access.addr = start; access.addr < end; access.addr += UF_PAGE_SIZE) {
		if (how == POPULATE_LOCK)
			access.write = locks_by_writing(space, access.addr);
		do {
			switch (mm_fault(space, &access)) {
			case MM_RETRY:
				break;
			case MM_INTERRUPTED:
				return -EINTR;
			case MM_SIGBUS:
				return mm_poisoned(space, access.addr) ? -EHWPOISON : -EFAULT;
			case MM_UNMANAGED:
			case MM_SIGSEGV:
				return -ENOMEM;
			}
		} while (mm_pagemap(space, access.addr, 1, &word) == 0 && !(word >> 63));
	}
	return 0;
}

int mm_mlock(struct mm_space *space, uint64_t start, uint64_t len, bool lock, bool on_fault)
{
	int err = set_flags(space, start, start + len, lock ? MM_AREA_LOCKED : 0,
			    lock ? 0 : MM_AREA_LOCKED);

	if (!err && lock && !on_fault)
		err = populate_range(space, start, start + len, POPULATE_LOCK);
	return err == -EFAULT || err == -EHWPOISON ? -ENOMEM : err;
}

/* ---- Files that change under their mappings ---------------------------------------------------
 */

struct file_range {
	uint64_t dev, ino, first, end; /* pages of the file; end: one past the last */
};

/* The part of the area that shows the range; false when it shows nothing of it. */
static bool shown(const struct mm_area *a, const struct file_range *r, uint64_t *start,
		  uint64_t *end)
{
	const struct mm_table *table = mm_area_table(a);
	uint64_t first = table->file_page + a->pgoff;
	uint64_t last = first + ((a->end - a->start) >> UF_PAGE_SHIFT);

	if (table->ino == 0 || table->dev != r->dev || table->ino != r->ino || first >= r->end ||
	    last <= r->first)
		return false;
	*start = a->start + ((mm_max(first, r->first) - first) << UF_PAGE_SHIFT);
	*end = a->start + ((mm_min(last, r->end) - first) << UF_PAGE_SHIFT);
	return true;
}

/*
 * As the kernel has it (Linux 6.18): protection marks stay, but for huge pages beyond the file's
 * new end; private copies go when the file is truncated, those of huge pages also for a hole.
 */
static void file_zap(struct mm_space *space, struct mm_area *a, uint64_t start, uint64_t end,
		     bool truncated)
{
	bool huge = mm_area_group(a) > 1;

	mm_zap(space, a, start, end,
	       &(struct mm_zap){.keep_markers = (mm_area_type(a)->flags & MM_TYPE_MARK_EMPTY) &&
						!(huge && truncated),
				.keep_private = !truncated && !huge});
}

/* As mm_file_change, the space locked for writing. */
static int file_change(struct mm_space *space, uint64_t dev, uint64_t ino, uint64_t first,
		       uint64_t npages, bool private_too, int (*change)(void *arg), void *arg)
{
	struct file_range r = {dev, ino, first,
			       npages > UINT64_MAX - first ? UINT64_MAX : first + npages};
	uint64_t start, end;
	struct mm_area *a;
	int err;

	for (uint32_t i = 0; (a = mm_area_at(space, i)) != NULL; i++) {
		struct mach_span span = mm_area_span(a);

		if (shown(a, &r, &start, &end))
			mach_tlb_limit(&span, mm_area_page(a, start),
				       (end - start) >> UF_PAGE_SHIFT, 0);
	}
	err = change(arg);
	for (uint32_t i = 0; !err && (a = mm_area_at(space, i)) != NULL; i++)
		if (shown(a, &r, &start, &end)) {
			file_zap(space, a, start, end, private_too);
			mm_trace_range(TRACE_REMOVE, 0, 0, start, end - start, 0);
		}
	return err;
}

int mm_file_change(struct mm_space *space, uint64_t dev, uint64_t ino, uint64_t first,
		   uint64_t npages, bool private_too, int (*change)(void *arg), void *arg)
{
	int err;

	mach_write_lock(&space->lock);
	err = file_change(space, dev, ino, first, npages, private_too, change, arg);
	mach_write_unlock(&space->lock);
	return err;
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

void mm_file_vacate(struct mm_space *space, const struct mm_table *table, uint64_t page, uint64_t n)
{
	(void)file_change(space, table->dev, table->ino, table->file_page + page, n, false, nothing,
			  NULL);
}

bool mm_file_managed(struct mm_space *space, uint64_t dev, uint64_t ino)
{
	const struct file_range whole = {dev, ino, 0, UINT64_MAX};
	uint64_t start, end;
	bool found = false;
	struct mm_area *a;

	if (!space || !atomic_load_explicit(&space->active, memory_order_acquire))
		return false;
	mm_read_lock(space);
	for (uint32_t i = 0; !found && (a = mm_area_at(space, i)) != NULL; i++)
		found = shown(a, &whole, &start, &end);
	mm_read_unlock(space);
	return found;
}

/* MADV_REMOVE, as a change of the file. */
struct punching {
	struct mm_view view;
	int (*punch)(const struct mm_view *v, uint64_t page, uint64_t n);
	uint64_t page, n;
};

static int punch(void *arg)
{
	const struct punching *p = arg;

	return p->punch(&p->view, p->page, p->n);
}

/* ---- Advice ---------------------------------------------------------------------------------- */

/* Is the area's handler told? Also of advice that then fails, but not where it is refused at once.
 */
static bool sends_remove(const struct mm_area *a, int advice)
{
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
		return true;
	case MADV_FREE:
		return mm_area_group(a) == 1;
	case MADV_REMOVE:
		return a->flags & MM_AREA_SHARED;
	default:
		return false;
	}
}

/* The whole of what the advice takes out of the file goes from all who show it. */
static int remove_pages(struct mm_space *space, const struct mm_area *a, uint64_t start,
			uint64_t end)
{
	struct punching p = {.view = mm_area_view(a),
			     .punch = mm_area_type(a)->punch,
			     .page = mm_area_page(a, start),
			     .n = (end - start) >> UF_PAGE_SHIFT};

	if ((a->flags & MM_AREA_LOCKED) || !p.punch)
		return -EINVAL;
	if (!(a->flags & MM_AREA_SHARED) || !(a->prot & UF_PROT_WRITE))
		return -EACCES;
	return file_change(space, p.view.table->dev, p.view.table->ino,
			   p.view.table->file_page + p.page, p.n, false, punch, &p);
}

/* What the advice does to one area's part of the range, write lock held. */
static int advise_area(struct mm_space *space, struct mm_area *a, uint64_t start, uint64_t end,
		       int advice)
{
	const struct mm_type *type = mm_area_type(a);
	const struct mm_zap how = {.keep_markers = type->flags & MM_TYPE_MARK_EMPTY};

	/* Large pages go whole: what is left over at the end stays. */
	end &= ~(mm_area_page_size(a) - 1);
	if (start & (mm_area_page_size(a) - 1))
		return -EINVAL;
	if (start >= end)
		return 0;
	switch (advice) {
	case MADV_DONTNEED:
		if (a->flags & MM_AREA_LOCKED)
			return -EINVAL;
		__attribute__((fallthrough));
	case MADV_DONTNEED_LOCKED:
		mm_zap(space, a, start, end, &how);
		mm_trace_range(TRACE_REMOVE, 0, 0, start, end - start, 0);
		return 0;
	case MADV_FREE:
		/* A hint: the pages may go at any time, and never doing so is such a time. */
		return (a->flags & MM_AREA_LOCKED) || mm_area_table(a)->map.kind != MACH_MAP_FRAMES
			       ? -EINVAL
			       : 0;
	case MADV_REMOVE:
		return remove_pages(space, a, start, end);
	default:
		return 0;
	}
}

/* One area after the other: event first, then, looked up again, the advice. */
static int advise_range(struct mm_space *space, uint64_t start, uint64_t end, int advice,
			const struct mach_entry *entry)
{
	int err = 0;

	while (!err && start < end) {
		struct mm_told told = {0};
		struct mm_area *a;
		uint64_t to;

		mach_write_lock(&space->lock);
		a = mm_area_find(space, start);
		to = a ? mm_min(mm_area_run_end(space, start), end) : end;
		if (a && sends_remove(a, advice))
			mm_tell(&told, a->handler, MM_EVENT_REMOVE);
		if (told.n) {
			mach_write_unlock(&space->lock);
			mm_told(space, &told, MM_EVENT_REMOVE, start, to, 0, entry);
			mach_write_lock(&space->lock);
		}
		for (; !err && start < to; start = mm_min(a->end, to)) {
			a = mm_area_find(space, start);
			if (!a)
				break;
			err = advise_area(space, a, start, mm_min(a->end, to), advice);
		}
		mach_write_unlock(&space->lock);
		start = to;
	}
	return err;
}

/* Mappings in place are the host's to advise; what is in frames of ours it need not hear of. */
static int advise_host(struct mm_space *space, uint64_t start, uint64_t end, int advice)
{
	struct mm_area *a;
	int err = 0;

	mm_read_lock(space);
	for (uint32_t i = mm_area_index(space, start);
	     !err && (a = mm_area_at(space, i)) != NULL && a->start < end; i++) {
		uint64_t from = mm_max(a->start, start), to = mm_min(a->end, end);
		struct mm_view v = mm_area_view(a);

		if (v.table->map.kind != MACH_MAP_FRAMES)
			err = mach_file_advise(&v.span, mm_area_page(a, from),
					       (to - from) >> UF_PAGE_SHIFT, advice);
	}
	mm_read_unlock(space);
	return err;
}

int mm_madvise(struct mm_space *space, uint64_t start, uint64_t len, int advice,
	       const struct mach_entry *entry)
{
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_FREE:
	case MADV_REMOVE:
		return advise_range(space, start, start + len, advice, entry);
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
		return populate_range(space, start, start + len,
				      advice == MADV_POPULATE_WRITE ? POPULATE_WRITE
								    : POPULATE_READ);
	case MADV_DONTFORK:
		return set_flags(space, start, start + len, MM_AREA_DONTFORK, 0);
	case MADV_DOFORK:
		return set_flags(space, start, start + len, 0, MM_AREA_DONTFORK);
	case MADV_WIPEONFORK:
		return set_flags(space, start, start + len, MM_AREA_WIPEFORK, 0);
	case MADV_KEEPONFORK:
		return set_flags(space, start, start + len, 0, MM_AREA_WIPEFORK);
	case MADV_MERGEABLE:
	case MADV_UNMERGEABLE:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
		return 0;
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_WILLNEED:
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case MADV_COLD:
	case MADV_COLLAPSE:
		return advise_host(space, start, start + len, advice);
	case MADV_PAGEOUT:
		mm_pageout(space, start, len);
		return 0;
	default:
		return -EINVAL;
	}
}
