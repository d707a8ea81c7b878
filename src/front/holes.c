/*
 * holes.c - MADV_REMOVE by way of a mapping that is not managed, of a file that managed memory
 * shows.
 */
#include "front/front.h"

#include <sys/mman.h>

struct removal {
	uint64_t addr, len;
};

static int do_remove(void *arg)
{
	const struct removal *r = arg;

	return (int)SYS(SYS_madvise, r->addr, r->len, MADV_REMOVE);
}

/* The part of [at, end) that lies in one host mapping, or before the first; at + *len is its end.
 */
static int remove_piece(uint64_t at, uint64_t end, uint64_t *len)
{
	struct removal r = {at, end - at};
	struct mach_vma vma;

	*len = r.len;
	if (mach_vma_next(at, &vma) != 0 || vma.start >= end)
		return do_remove(&r);
	*len = r.len = (vma.start > at ? vma.start : vma.end < end ? vma.end : end) - at;
	if (vma.start > at || !mm_file_managed(mm_space_self, vma.dev, vma.ino))
		return do_remove(&r);
	return mm_file_change(mm_space_self, vma.dev, vma.ino,
			      vma.file_page + (at - vma.start) / UF_PAGE_SIZE, r.len / UF_PAGE_SIZE,
			      false, do_remove, &r);
}

int mem_remove(uint64_t addr, uint64_t len)
{
	uint64_t end = addr + len, done = 0;
	struct mach_entry entry;
	int err = 0;

	mach_enter(&entry);
	for (; !err && addr < end; addr += done)
		err = remove_piece(addr, end, &done);
	mach_leave(&entry);
	return err;
}
