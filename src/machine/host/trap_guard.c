/*
 * trap_guard.c - closing pages with guard regions.
 *
 * A map begins as one PROT_NONE mapping, which costs nothing however long it is. The first open in
 * a chunk puts guards on the chunk's pages, gives the chunk the protection asked for, and takes
 * away the guards of the opened pages. From then on opening and closing a page there is one madvise
 * that leaves the host's mappings alone; chunks of one protection are one host mapping.
 *
 * Many pages are opened at once by one change of protection, with guards on those between them that
 * are to stay closed: those keep their guards when the protection goes down and up again.
 *
 * Nothing shows in between that should not: guards come before the protection goes up, the
 * protection goes down before guards go.
 */
#include "machine/host/internal.h"

/*
 * From this many pages in a row on, protection closes faster than guards, and keeps what the host
 * has mapped there; but pages that come back one by one find their chunks closed.
 */
#define LONG_RUN 16384

/*
 * Where pages are opened one after the other, protection is cheaper: each moves the border between
 * two mappings, and a frame that the host still has mapped costs no fault. From a streak of this
 * many on, runs of this many are closed so.
 */
#define STREAK 32

static void mark(struct host_map *hm, uint64_t page, uint64_t end, bool guard)
{
	for (uint64_t p = page; p < end; p++)
		hm->tlb[p] = (uint8_t)(guard ? (hm->tlb[p] | TLB_GUARD) & ~TLB_SEEN
					     : hm->tlb[p] & ~TLB_GUARD);
}

static bool in_order(const struct host_map *hm)
{
	return atomic_load_explicit(&hm->streak, memory_order_relaxed) >= STREAK;
}

/* Several threads spoil it for each other, as they should: protection takes the host's one lock. */
static void note_order(struct host_map *hm, uint64_t page)
{
	uint64_t last = atomic_load_explicit(&hm->last, memory_order_relaxed);
	uint32_t streak = atomic_load_explicit(&hm->streak, memory_order_relaxed);

	if (page == last)
		return;
	streak = page == last + 1 ? streak + (streak < 2 * STREAK) : streak / 2;
	atomic_store_explicit(&hm->streak, streak, memory_order_relaxed);
	atomic_store_explicit(&hm->last, page, memory_order_relaxed);
}

/* Shrink [*page, *end) to what begins and ends with a page whose guard is not as `guard` says. */
static bool trim(const struct host_map *hm, uint64_t *page, uint64_t *end, bool guard)
{
	uint8_t same = guard ? TLB_GUARD : 0;

	while (*page < *end && (hm->tlb[*page] & TLB_GUARD) == same)
		++*page;
	while (*page < *end && (hm->tlb[*end - 1] & TLB_GUARD) == same)
		--*end;
	return *page < *end;
}

/* A locked mapping refuses guards; the program's mlock of managed memory is not the host's affair.
 */
static int advise(uint64_t addr, uint64_t n, int advice)
{
	uint64_t len = n << UF_PAGE_SHIFT;
	int err = sys_madvise(addr, len, advice);

	if (err == -EINVAL) {
		sys_munlock(addr, len);
		err = sys_madvise(addr, len, advice);
	}
	return err;
}

static int guard(struct host_map *hm, uint64_t addr, uint64_t page, uint64_t end)
{
	uint64_t first = page;
	int err;

	if (!trim(hm, &page, &end, true))
		return 0;
	err = advise(addr + ((page - first) << UF_PAGE_SHIFT), end - page, MADV_GUARD_INSTALL);
	if (err == 0)
		mark(hm, page, end, true);
	return err;
}

/* Is this the next page of a stretch that is opened in order, and the host's mapping of it there?
 */
static bool extends(const struct host_map *hm, const struct mach_span *span, uint64_t page,
		    uint64_t n, uint32_t prot)
{
	return n == 1 && page > span->first && in_order(hm) && tlb_prot(hm, page - 1) == prot &&
	       (hm->tlb[page] & (TLB_SEEN | TLB_GUARD)) == TLB_SEEN;
}

/* Guard those pages between the set's that nothing but their protection closes. */
static int guard_gaps(struct host_map *hm, const struct mach_span *span, const struct tlb_set *set,
		      uint64_t page, uint64_t end)
{
	int err = 0;

	while (page < end && err == 0) {
		uint64_t gap;

		if (tlb_prot(hm, page) != 0) {
			page += tlb_run(hm, page, end);
			continue;
		}
		for (gap = page; gap < end && !tlb_in_set(set, gap); gap++) {
			if (tlb_prot(hm, gap) != 0 && !tlb_guarded(hm, gap))
				break;
		}
		err = guard(hm, span_addr(span, page), page, gap);
		page = gap + (gap == page);
	}
	return err;
}

/*
 * Give a stretch another protection. An end that was never open takes the rest of its chunk along,
 * guarded, as far as that was never open either.
 */
static int change(struct host_map *hm, const struct mach_span *span, const struct tlb_set *set,
		  uint64_t page, uint64_t n, uint32_t prot)
{
	uint64_t lo = page, hi = page + n, end = span->first + span->npages;
	int err = set->bits ? guard_gaps(hm, span, set, lo, hi) : 0;

	if (!extends(hm, span, page, n, prot)) {
		while (tlb_prot(hm, lo) == 0 && lo > span->first && lo % hm->chunk != 0 &&
		       tlb_prot(hm, lo - 1) == 0)
			lo--;
		while (tlb_prot(hm, hi - 1) == 0 && hi < end && hi % hm->chunk != 0 &&
		       tlb_prot(hm, hi) == 0)
			hi++;
		if (err == 0)
			err = guard(hm, span_addr(span, lo), lo, page);
		if (err == 0)
			err = guard(hm, span_addr(span, page + n), page + n, hi);
	}
	if (err != 0)
		return -ENOMEM;
	return tlb_protect(hm, span_addr(span, lo), lo, hi - lo, prot);
}

/*
 * Where the stretch ends that begins with `page` and can be given the protection as a whole: pages
 * between the set's must be closed, or have it already.
 */
static uint64_t stretch_end(const struct host_map *hm, const struct tlb_set *set, uint64_t page,
			    uint64_t end, uint32_t prot)
{
	if (!set->bits)
		return end;
	while (page < end && (tlb_in_set(set, page) || tlb_guarded(hm, page) ||
			      tlb_prot(hm, page) == 0 || tlb_prot(hm, page) == prot))
		page++;
	return page;
}

/* The set's pages are being opened. Has any of them a guard? */
static bool note_seen(struct host_map *hm, const struct tlb_set *set, uint64_t page, uint64_t end)
{
	uint8_t any = 0;

	for (uint64_t p = page; p < end; p++) {
		if (!tlb_in_set(set, p))
			continue;
		any |= hm->tlb[p];
		hm->tlb[p] |= TLB_SEEN;
	}
	return any & TLB_GUARD;
}

/* The protection is right: take away the guards of the set's pages. */
static int unguard(struct host_map *hm, const struct mach_span *span, const struct tlb_set *set,
		   uint64_t page, uint64_t end)
{
	for (uint64_t next; page < end; page = next + 1) {
		uint64_t from = page, to;

		for (next = page; next < end && tlb_in_set(set, next); next++)
			;
		to = next;
		if (!trim(hm, &from, &to, false))
			continue;
		if (advise(span_addr(span, from), to - from, MADV_GUARD_REMOVE) != 0)
			return -ENOMEM;
		mark(hm, from, to, false);
	}
	return 0;
}

static int guard_open(struct host_map *hm, const struct mach_span *span, uint64_t page, uint64_t n,
		      const uint64_t *bits, uint32_t prot, bool may_split)
{
	const struct tlb_set set = {page, bits};
	uint64_t end = page + n, p, next;
	int err;

	if (n == 1)
		note_order(hm, page);
	for (p = page; p < end; p = next + (next < end)) {
		uint64_t from = p, to = next = stretch_end(hm, &set, p, end, prot);

		if (!tlb_narrow(hm, &set, &from, &to, prot))
			continue;
		/* Guarded pages at its ends would be a border between two mappings. */
		while (from > p && tlb_guarded(hm, from - 1))
			from--;
		while (to < next && tlb_guarded(hm, to))
			to++;
		err = may_split ? change(hm, span, &set, from, to - from, prot) : -EAGAIN;
		if (err != 0)
			return err;
	}
	return note_seen(hm, &set, page, end) ? unguard(hm, span, &set, page, end) : 0;
}

/*
 * One past the last page from `page` on that is to be lowered to `keep`, and can be together with
 * those before it: between them, pages have just that, or guards.
 */
static uint64_t lower_end(const struct host_map *hm, uint64_t page, uint64_t end, uint32_t prot,
			  uint32_t keep)
{
	uint64_t last = page;

	for (uint64_t p = page, run; p < end; p += run) {
		uint64_t from = p, to;

		run = tlb_run(hm, p, end);
		to = p + run;
		if ((tlb_prot(hm, p) & prot) != keep && trim(hm, &from, &to, true))
			break;
		if (tlb_prot(hm, p) & ~prot)
			last = p + run;
	}
	return last;
}

/* A stretch whose first page lets through more than `prot`, if not all of it is guarded. */
static int limit_run(struct host_map *hm, const struct mach_span *span, uint64_t page, uint64_t n,
		     uint32_t prot, bool may_split)
{
	uint64_t from = page, to = page + n, addr = span_addr(span, page);
	uint32_t keep = tlb_prot(hm, page) & prot;

	if (!trim(hm, &from, &to, true))
		return 0;
	if (keep != 0 || to - from >= LONG_RUN || (to - from >= STREAK && in_order(hm))) {
		if (!may_split)
			return -EAGAIN;
		if (tlb_protect(hm, addr, page, n, keep) == 0)
			return 0;
	}
	return guard(hm, addr, page, page + n);
}

static int guard_limit(struct host_map *hm, const struct mach_span *span, uint64_t page, uint64_t n,
		       uint32_t prot, bool may_split)
{
	uint64_t end = page + n;

	for (uint64_t p = page, run; p < end; p += run) {
		int err = 0;

		run = tlb_run(hm, p, end);
		if (!(tlb_prot(hm, p) & ~prot))
			continue;
		if (tlb_prot(hm, p) & prot)
			run = lower_end(hm, p, end, prot, tlb_prot(hm, p) & prot) - p;
		err = limit_run(hm, span, p, run, prot, may_split);
		if (err != 0)
			return err;
	}
	return 0;
}

static void guard_evict(struct host_map *hm, uint64_t addr, uint64_t page, uint64_t n,
			uint32_t around)
{
	if (around != 0 && guard(hm, addr, page, page + n) != 0)
		return;
	tlb_protect_always(hm, addr, page, n, around);
}

const struct trap_ops trap_guard = {
	.name = "guard",
	.open = guard_open,
	.limit = guard_limit,
	.evict = guard_evict,
};
