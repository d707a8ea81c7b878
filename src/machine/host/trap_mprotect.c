/* trap_mprotect.c - closing pages by protection alone, which every host can do. */
#include "machine/host/internal.h"

/*
 * Each piece of a set costs a host call, and mostly two mappings. Where they are shorter than this
 * on average they wait for their first touch: perhaps there is none.
 */
#define SHORT_PIECE 16

/* The next pages from *page on that one call can open; false: none up to `end`. */
static bool next_piece(const struct host_map *hm, const struct tlb_set *set, uint64_t *page,
		       uint64_t *last, uint64_t end, uint32_t prot)
{
	uint64_t p = *page;

	while (p < end && (tlb_prot(hm, p) == prot || !tlb_in_set(set, p)))
		p++;
	*page = p;
	while (p < end && (tlb_prot(hm, p) == prot || tlb_in_set(set, p)))
		p++;
	*last = p;
	return tlb_narrow(hm, set, page, last, prot);
}

static bool worth_opening(const struct host_map *hm, const struct tlb_set *set, uint64_t page,
			  uint64_t end, uint32_t prot)
{
	uint64_t pieces = 0, pages = 0, next;

	for (; next_piece(hm, set, &page, &next, end, prot); page = next) {
		pieces++;
		pages += next - page;
	}
	return pieces <= 1 || pages >= pieces * SHORT_PIECE;
}

static int protect_open(struct host_map *hm, const struct mach_span *span, uint64_t page,
			uint64_t n, const uint64_t *bits, uint32_t prot, bool may_split)
{
	const struct tlb_set set = {page, bits};
	uint64_t end = page + n, next;
	int err = 0;

	if (bits && !worth_opening(hm, &set, page, end, prot))
		return 0;
	for (; err == 0 && next_piece(hm, &set, &page, &next, end, prot); page = next) {
		if (!may_split)
			return -EAGAIN;
		err = tlb_protect(hm, span_addr(span, page), page, next - page, prot);
	}
	return err;
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
		/* What ends up with one protection is one call, whatever was open before. */
		while (p + run < end &&
		       (prot == 0 || (tlb_prot(hm, p + run) & prot) == (had & prot)))
			run += tlb_run(hm, p + run, end);
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
