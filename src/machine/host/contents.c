/*
 * contents.c - mach_frames_*: the contents of pages, wherever they are: in an extent (frames.c), or
 * in a file, or copied from it (fill.c).
 */
#include "machine/host/internal.h"

enum where {
	EXTENT,
	COPIED, /* from an extent that a fork shares */
	FILE_PAGES,
};

static enum where where(const struct mach_span *span)
{
	if (span->map->kind != MACH_MAP_FRAMES)
		return FILE_PAGES;
	return unshare_in_extent(span->map) ? EXTENT : COPIED;
}

/* The contents are about to change. */
static int begin_change(const struct mach_span *span)
{
	return span->map->kind == MACH_MAP_FRAMES ? unshare_map(span->map) : 0;
}

static long copy(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t src)
{
	int err = begin_change(span);

	if (err != 0)
		return err;
	switch (where(span)) {
	case EXTENT:
		return frames_copy(span->map, page, n, src);
	case COPIED:
		return copied_copy(span, page, n, src);
	case FILE_PAGES:
		break;
	}
	return fill_copy(span, page, n, src);
}

static int zero(const struct mach_span *span, uint64_t page, uint64_t n)
{
	int err = begin_change(span);

	if (err != 0)
		return err;
	switch (where(span)) {
	case EXTENT:
		frames_zero(span->map, page, n);
		return 0;
	case COPIED:
		return copied_zero(span, page, n);
	case FILE_PAGES:
		break;
	}
	return fill_zero(span, page, n);
}

static void filled(const struct mach_span *span, uint64_t page, long n)
{
	if (n > 0 && span->map->kind == MACH_MAP_FRAMES)
		unshare_filled(span->map, page, (uint64_t)n);
}

long mach_frames_copy(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t src)
{
	long done = copy(span, page, n, src);

	filled(span, page, done);
	return done;
}

/* Memory of ours is read like the program's. */
long mach_frames_write(const struct mach_span *span, uint64_t page, uint64_t n, const void *buf)
{
	return mach_frames_copy(span, page, n, (uint64_t)buf);
}

int mach_frames_zero(const struct mach_span *span, uint64_t page, uint64_t n)
{
	int err = zero(span, page, n);

	if (err == 0)
		filled(span, page, (long)n);
	return err;
}

/* Where a shared extent cannot be had back, what it has is left to those who share it. */
static void drop(const struct mach_span *span, uint64_t page, uint64_t n, bool give)
{
	if (begin_change(span) != 0)
		return;
	switch (where(span)) {
	case EXTENT:
		if (give)
			frames_give(span->map, page, n);
		else
			frames_drop(span->map, page, n);
		break;
	case COPIED:
		copied_drop(span, page, n);
		break;
	case FILE_PAGES:
		fill_drop(span, page, n);
		break;
	}
}

void mach_frames_drop(const struct mach_span *span, uint64_t page, uint64_t n)
{
	drop(span, page, n, false);
}

void mach_frames_give(const struct mach_span *span, uint64_t page, uint64_t n)
{
	drop(span, page, n, true);
}

static int read_extent(const struct mach_span *span, uint64_t page, void *buf)
{
	if (host_map_of(span->map)->file != 0)
		return frames_read_frozen(span->map, page, buf);
	if (!frames_present(span->map, page))
		return -EFAULT;
	return cpu_copy_nofault(buf, frames_pointer(span->map, page), UF_PAGE_SIZE) ? -EFAULT : 0;
}

int mach_frames_read(const struct mach_span *span, uint64_t page, void *buf)
{
	switch (where(span)) {
	case EXTENT:
		return read_extent(span, page, buf);
	case COPIED:
		return copied_read(span, page, buf);
	case FILE_PAGES:
		break;
	}
	return fill_read(span, page, buf);
}

void *mach_frame(struct mach_map *map, uint64_t page)
{
	return map->kind == MACH_MAP_FRAMES ? frames_pointer(map, page)
					    : (void *)(map->alias + (page << UF_PAGE_SHIFT));
}

/* ---- Moving from one kind to another ---- */

static void take_back(const struct mach_span *dst, uint64_t page, uint64_t n)
{
	if (dst->map->kind == MACH_MAP_FRAMES)
		mach_frames_drop(dst, page, n);
	else
		fill_take(dst, page, n);
}

static bool huge_pages(const struct mach_map *map)
{
	return map->page_shift > UF_PAGE_SHIFT ||
	       (map->kind != MACH_MAP_FRAMES && file_of(map)->huge);
}

/* Page by page through memory of our own: the two may be of any kinds. */
static int move_through_buffer(const struct mach_span *dst, uint64_t dpage,
			       const struct mach_span *src, uint64_t spage, uint64_t n, char *buf,
			       uint64_t pages)
{
	for (uint64_t done = 0, run; done < n; done += run) {
		int err = 0;
		long got = 0;

		run = n - done < pages ? n - done : pages;
		for (uint64_t i = 0; !err && i < run; i++)
			err = mach_frames_read(src, spage + done + i, buf + (i << UF_PAGE_SHIFT));
		if (!err)
			got = mach_frames_copy(dst, dpage + done, run, (uint64_t)buf);
		if (err || got != (long)run) {
			take_back(dst, dpage, done + (got > 0 ? (uint64_t)got : 0));
			return err ? err : (got < 0 && got != -EEXIST ? (int)got : -ENOMEM);
		}
	}
	take_back(src, spage, n);
	return 0;
}

int mach_frames_move(const struct mach_span *dst, uint64_t dpage, const struct mach_span *src,
		     uint64_t spage, uint64_t n)
{
	char page[UF_PAGE_SIZE];
	long at;
	int err = begin_change(dst);

	if (err == 0)
		err = begin_change(src);
	if (err != 0)
		return err;
	if (where(dst) == EXTENT && where(src) == EXTENT) {
		err = frames_move(dst->map, dpage, src->map, spage, n);
		if (err == 0)
			filled(dst, dpage, (long)n);
		return err;
	}
	if (!huge_pages(dst->map) && !huge_pages(src->map))
		return move_through_buffer(dst, dpage, src, spage, n, page, 1);
	at = sys_mmap(0, 1ull << HUGE_SHIFT, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (sys_failed(at))
		return -ENOMEM;
	err = move_through_buffer(dst, dpage, src, spage, n, (char *)at, HUGE_PAGES);
	sys_munmap((uint64_t)at, 1ull << HUGE_SHIFT);
	return err;
}

/* How many pages from src on the host has something for. */
static uint64_t filled_run(uint64_t src, uint64_t n)
{
	uint64_t bits[8], run = 0;

	n = n < 512 ? n : 512;
	pagemap_query(src, n, PAGEMAP_HERE, bits);
	while (run < n && (bits[run / 64] >> (run % 64) & 1))
		run++;
	return run;
}

/*
 * The pages are moved away in one go, and what another thread writes from then on is a new page's.
 * Without memory for them they are moved back, over any such page.
 */
long mach_frames_take(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t src)
{
	uint64_t run, rest;
	long at, done;

	if (span->map->kind != MACH_MAP_FRAMES)
		return -EINVAL;
	run = filled_run(src, n);
	if (run == 0)
		return 0;
	if (fork_ever()) {
		run = pagemap_exclusive(src, run);
		if (run == 0)
			return -EBUSY;
	}
	rest = run << UF_PAGE_SHIFT;
	at = sys_mremap(src, rest, rest, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
	if (sys_failed(at))
		return at == -ENOMEM ? at : -EINVAL;
	done = mach_frames_copy(span, page, run, (uint64_t)at);
	if (done > 0) {
		sys_munmap((uint64_t)at, (uint64_t)done << UF_PAGE_SHIFT);
		at += done << UF_PAGE_SHIFT;
		src += (uint64_t)done << UF_PAGE_SHIFT;
		rest -= (uint64_t)done << UF_PAGE_SHIFT;
	}
	if (rest > 0)
		sys_mremap((uint64_t)at, rest, rest, MREMAP_MAYMOVE | MREMAP_FIXED, src);
	return done;
}
