/*
 * backing.c - the two ways in which a type's pages can be backed, as operations that types name in
 * their tables: frames of our own, and a file of the program whose mapping stays in place.
 */
#include "mm/mm.h"

#include <errno.h>

/* ---- Frames: a page lives in its frame and nowhere else ---------------------------------------
 */

int mm_frames_adopt(struct mm_table *table, uint64_t start, uint64_t end,
		    const struct mach_vma *vma)
{
	return mach_map_adopt(&table->map, start, (end - start) >> UF_PAGE_SHIFT, vma->prot);
}

int mm_frames_extend(struct mm_table *table, struct mm_table *like, uint64_t first, uint64_t start,
		     uint64_t end)
{
	(void)like;
	(void)first;
	return mach_map_fresh(&table->map, start, (end - start) >> UF_PAGE_SHIFT, 0);
}

/* A page's frame is the one at its own index: there is nothing to choose. */
long mm_frames_alloc(const struct mm_view *v, uint64_t page, uint64_t n)
{
	uint64_t room = v->table->map.npages - page;

	if (page >= v->table->map.npages)
		return -ENOMEM;
	return (long)(n < room ? n : room);
}

int mm_frames_populate(const struct mm_view *v, uint64_t page)
{
	return mach_frames_zero(&v->span, page, mm_view_group(v));
}

/* ---- A file: what its cache has is there, whoever put it there --------------------------------
 */

int mm_file_adopt(struct mm_table *table, uint64_t start, uint64_t end, const struct mach_vma *vma)
{
	return mach_map_adopt_file(&table->map, start, (end - start) >> UF_PAGE_SHIFT, vma);
}

int mm_file_extend(struct mm_table *table, struct mm_table *like, uint64_t first, uint64_t start,
		   uint64_t end)
{
	return mach_map_extend(&table->map, &like->map, first, start,
			       (end - start) >> UF_PAGE_SHIFT);
}

void mm_file_mapped(const struct mm_view *v, uint64_t page, uint64_t n, uint64_t *bits)
{
	mach_pages_mapped(&v->span, page, n, bits);
}

int mm_file_lookup(const struct mm_view *v, uint64_t page)
{
	uint64_t bits[MM_LEAF_ENTRIES / 64] = {0};

	if (mach_file_lookup(&v->span, page, 1, bits) == 0)
		return -EFAULT;
	return (int)(bits[0] & 1);
}

/* Of the n pages from `page` on, how many the file has (or has not), in large pages. */
static uint64_t run_of(const uint64_t *bits, uint64_t n, uint64_t group, bool there)
{
	uint64_t run = 0;

	while (run < n && (bits[run / 64] >> (run % 64) & 1) == there)
		run += group;
	return run < n ? run : n;
}

/* A private copy may be made whatever the file has; a page of the file only where it has none. */
long mm_file_alloc(const struct mm_view *v, uint64_t page, uint64_t n)
{
	uint64_t bits[MM_LEAF_ENTRIES / 64] = {0}, room = mach_file_lookup(&v->span, page, n, bits);

	if (room < mm_view_group(v))
		return -EFAULT;
	if (v->table->map.kind == MACH_MAP_PRIVATE)
		return (long)room;
	room = run_of(bits, room, mm_view_group(v), false);
	return room ? (long)room : -EEXIST;
}

/* Large pages that to the host are many small ones. */
static bool emulated(const struct mm_view *v)
{
	return mm_view_group(v) << UF_PAGE_SHIFT > 1ull << v->table->map.page_shift;
}

/*
 * Nobody is asked: an access is the host's to serve. A page of a shared mapping is made now, so
 * that the others who look into the file agree that it is there; and a large one of a private
 * mapping, which never comes by way of the file, where the host would let its parts do so.
 */
int mm_file_populate(const struct mm_view *v, uint64_t page)
{
	if (v->table->map.kind == MACH_MAP_PRIVATE && !emulated(v))
		return 0;
	return mach_frames_zero(&v->span, page, mm_view_group(v));
}

long mm_file_map(const struct mm_view *v, uint64_t page, uint64_t n)
{
	uint64_t bits[MM_LEAF_ENTRIES / 64] = {0}, room = mach_file_lookup(&v->span, page, n, bits);

	/* Past the end of a file with small pages the kernel has an error of its own. */
	if (room == 0 && mm_view_group(v) == 1)
		return -EINVAL;
	room = run_of(bits, room, mm_view_group(v), true);
	return room ? (long)room : -EFAULT;
}

int mm_file_punch(const struct mm_view *v, uint64_t page, uint64_t n)
{
	return mach_file_punch(&v->span, page, n);
}
