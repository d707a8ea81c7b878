/* inplace.c - mappings of files that stay where they are. */
#include "machine/host/internal.h"

int mach_map_adopt_file(struct mach_map *map, uint64_t addr, uint64_t npages,
			const struct mach_vma *vma)
{
	(void)map;
	(void)addr;
	(void)npages;
	(void)vma;
	return -EINVAL;
}

int mach_map_extend(struct mach_map *map, const struct mach_map *like, uint64_t first,
		    uint64_t addr, uint64_t npages)
{
	(void)like;
	(void)first;
	return mach_map_fresh(map, addr, npages, 0);
}

uint64_t mach_file_lookup(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t *bits)
{
	(void)span;
	(void)page;
	memset(bits, 0, (n + 63) / 64 * 8);
	return n;
}

void mach_pages_mapped(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t *bits)
{
	(void)span;
	(void)page;
	memset(bits, 0, (n + 63) / 64 * 8);
}

void mach_pages_private(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t *bits)
{
	mach_pages_mapped(span, page, n, bits);
}

int mach_file_punch(const struct mach_span *span, uint64_t page, uint64_t n)
{
	(void)span;
	(void)page;
	(void)n;
	return -EINVAL;
}

int mach_file_advise(const struct mach_span *span, uint64_t page, uint64_t n, int advice)
{
	return sys_madvise(span_addr(span, page), n << UF_PAGE_SHIFT, advice);
}
