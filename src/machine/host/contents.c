/* contents.c - mach_frames_*: where the contents of a map's pages are, and who does what with them.
 */
#include "machine/host/internal.h"

long mach_frames_copy(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t src)
{
	return frames_copy(span->map, page, n, src);
}

int mach_frames_zero(const struct mach_span *span, uint64_t page, uint64_t n)
{
	frames_zero(span->map, page, n);
	return 0;
}

int mach_frames_move(const struct mach_span *dst, uint64_t dpage, const struct mach_span *src,
		     uint64_t spage, uint64_t n)
{
	return frames_move(dst->map, dpage, src->map, spage, n);
}

void mach_frames_drop(const struct mach_span *span, uint64_t page, uint64_t n)
{
	frames_drop(span->map, page, n);
}

void mach_frames_give(const struct mach_span *span, uint64_t page, uint64_t n)
{
	frames_give(span->map, page, n);
}

int mach_frames_read(const struct mach_span *span, uint64_t page, void *buf)
{
	if (!frames_present(span->map, page))
		return -EFAULT;
	return cpu_copy_nofault(buf, frames_pointer(span->map, page), UF_PAGE_SIZE) ? -EFAULT : 0;
}

void *mach_frame(struct mach_map *map, uint64_t page)
{
	return frames_pointer(map, page);
}

/* Memory of ours is read like the program's. */
long mach_frames_write(const struct mach_span *span, uint64_t page, uint64_t n, const void *buf)
{
	return mach_frames_copy(span, page, n, (uint64_t)buf);
}
