/*
 * contents.c - mach_frames_*: the contents of pages, wherever they are: in an extent (frames.c), or
 * in a file, or copied from it (fill.c).
 */
#include "machine/host/internal.h"

static bool in_extent(const struct mach_span *span)
{
	return span->map->kind == MACH_MAP_FRAMES;
}

long mach_frames_copy(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t src)
{
	return in_extent(span) ? frames_copy(span->map, page, n, src)
			       : fill_copy(span, page, n, src);
}

/* Memory of ours is read like the program's. */
long mach_frames_write(const struct mach_span *span, uint64_t page, uint64_t n, const void *buf)
{
	return mach_frames_copy(span, page, n, (uint64_t)buf);
}

int mach_frames_zero(const struct mach_span *span, uint64_t page, uint64_t n)
{
	if (!in_extent(span))
		return fill_zero(span, page, n);
	frames_zero(span->map, page, n);
	return 0;
}

void mach_frames_drop(const struct mach_span *span, uint64_t page, uint64_t n)
{
	if (in_extent(span))
		frames_drop(span->map, page, n);
	else
		fill_drop(span, page, n);
}

void mach_frames_give(const struct mach_span *span, uint64_t page, uint64_t n)
{
	if (in_extent(span))
		frames_give(span->map, page, n);
	else
		fill_drop(span, page, n);
}

int mach_frames_read(const struct mach_span *span, uint64_t page, void *buf)
{
	if (!in_extent(span))
		return fill_read(span, page, buf);
	if (!frames_present(span->map, page))
		return -EFAULT;
	return cpu_copy_nofault(buf, frames_pointer(span->map, page), UF_PAGE_SIZE) ? -EFAULT : 0;
}

void *mach_frame(struct mach_map *map, uint64_t page)
{
	return map->kind == MACH_MAP_FRAMES ? frames_pointer(map, page)
					    : (void *)(map->alias + (page << UF_PAGE_SHIFT));
}

/* ---- Moving from one kind to another ---- */

static void take_back(const struct mach_span *dst, uint64_t page, uint64_t n)
{
	if (in_extent(dst))
		frames_drop(dst->map, page, n);
	else
		fill_take(dst, page, n);
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
	if (in_extent(src))
		frames_drop(src->map, spage, n);
	else
		fill_take(src, spage, n);
	return 0;
}

int mach_frames_move(const struct mach_span *dst, uint64_t dpage, const struct mach_span *src,
		     uint64_t spage, uint64_t n)
{
	bool huge = dst->map->page_shift > UF_PAGE_SHIFT || src->map->page_shift > UF_PAGE_SHIFT ||
		    (!in_extent(dst) && file_of(dst->map)->huge);
	char page[UF_PAGE_SIZE];
	long at;
	int err;

	if (in_extent(dst) && in_extent(src))
		return frames_move(dst->map, dpage, src->map, spage, n);
	if (!huge)
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

	if (!in_extent(span))
		return -EINVAL;
	run = filled_run(src, n);
	if (run == 0)
		return 0;
	rest = run << UF_PAGE_SHIFT;
	at = sys_mremap(src, rest, rest, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
	if (sys_failed(at))
		return at == -ENOMEM ? at : -EINVAL;
	done = frames_copy(span->map, page, run, (uint64_t)at);
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
