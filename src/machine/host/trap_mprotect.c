/* trap_mprotect.c - closing pages by protection alone, which every host can do. */
#include "machine/host/internal.h"

static int protect_open(struct host_map *hm, const struct mach_span *span, uint64_t page,
			uint64_t n, uint32_t prot, bool may_split)
{
	uint64_t end = page + n;

	while (page < end && tlb_prot(hm, page) == prot)
		page++;
	while (page < end && tlb_prot(hm, end - 1) == prot)
		end--;
	if (page == end)
		return 0;
	if (!may_split)
		return -EAGAIN;
	return tlb_protect(hm, span_addr(span, page), page, end - page, prot);
}

static int protect_limit(struct host_map *hm, const struct mach_span *span, uint64_t page,
			 uint64_t n, uint32_t prot, bool may_split)
{
	uint64_t end = page + n;

	for (uint64_t p = page, run; p < end; p += run) {
		uint32_t had = tlb_prot(hm, p);
		int err;

		run = tlb_run(hm, p, end);
		if (!(had & ~prot))
			continue;
		if (!may_split)
			return -EAGAIN;
		/* To close all is one call, whatever was open before. */
		if (prot == 0)
			run = end - p;
		err = tlb_protect_always(hm, span_addr(span, p), p, run, had & prot);
		if (err != 0)
			return err;
	}
	return 0;
}

static void protect_evict(struct host_map *hm, uint64_t addr, uint64_t page, uint64_t n,
			  uint32_t around)
{
	(void)around;
	tlb_protect_always(hm, addr, page, n, PROT_NONE);
}

const struct trap_ops trap_mprotect = {
	.name = "mprotect",
	.open = protect_open,
	.limit = protect_limit,
	.evict = protect_evict,
};
