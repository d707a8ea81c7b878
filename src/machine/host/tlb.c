/* tlb.c - what both traps share: the bytes, counting host mappings, making room. */
#include "machine/host/internal.h"
#include "machine/host/siblings.h"

/* From this many pages on, opened pages are mapped at once instead of at their first touch. */
#define POPULATE_PAGES 16

/* How often a failing open makes room and tries again. */
#define OPEN_TRIES 4

/* What the program keeps for itself when it has many mappings, and the least that we take. */
#define PROGRAM_ROOM 1024
#define BUDGET_MIN   256

static uint64_t fixed_budget;
static _Atomic uint64_t budget;
static _Atomic uint64_t recount_at; /* our own mappings when the program's are counted next */

void tlb_set_budget(uint64_t b)
{
	fixed_budget = b;
	atomic_store(&budget, b);
	atomic_store(&recount_at, 0);
}

static uint64_t count_host_mappings(void)
{
	int fd = sys_open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	uint64_t lines = 0;
	char buf[1024];
	long got;

	if (fd < 0)
		return 0;
	while ((got = sys_read(fd, buf, sizeof(buf))) > 0) {
		for (long i = 0; i < got; i++)
			lines += buf[i] == '\n';
	}
	sys_close(fd);
	return lines;
}

/*
 * Half of what the host allows, or less when the program itself has many mappings. Counting those
 * is slow: it is done when ours have doubled, from a number on where it could matter.
 */
static uint64_t current_budget(uint64_t ours)
{
	uint64_t due = atomic_load_explicit(&recount_at, memory_order_relaxed), half, all, theirs;

	if (fixed_budget != 0)
		return fixed_budget;
	half = host.max_maps / 2;
	if (due == 0) {
		atomic_store(&budget, half);
		due = half / 8;
		atomic_store(&recount_at, due);
	}
	if (ours < due)
		return atomic_load_explicit(&budget, memory_order_relaxed);
	atomic_store(&recount_at, 2 * due);
	all = count_host_mappings();
	theirs = (all > ours ? all - ours : 0) + PROGRAM_ROOM;
	if (theirs + half > host.max_maps) {
		half = theirs < host.max_maps ? host.max_maps - theirs : 0;
		half = half > BUDGET_MIN ? half : BUDGET_MIN;
	}
	atomic_store(&budget, half);
	return half;
}

void mach_usage(uint64_t *mappings, uint64_t *most)
{
	*mappings = registry_mappings();
	*most = current_budget(0);
}

uint64_t tlb_run(const struct host_map *hm, uint64_t page, uint64_t end)
{
	const uint64_t each = 0x0101010101010101ull;
	uint32_t prot = tlb_prot(hm, page);
	uint64_t p = page + 1, eight;

	/* Eight bytes at a time: long ranges are protected as fast as the host does it, or not. */
	for (; p + 8 <= end; p += 8) {
		memcpy(&eight, hm->tlb + p, sizeof(eight));
		if ((eight & each * TLB_PROT) != each * prot)
			break;
	}
	while (p < end && tlb_prot(hm, p) == prot)
		p++;
	return p - page;
}

bool tlb_narrow(const struct host_map *hm, const struct tlb_set *set, uint64_t *page, uint64_t *end,
		uint32_t prot)
{
	while (*page < *end && (tlb_prot(hm, *page) == prot || !tlb_in_set(set, *page)))
		++*page;
	while (*page < *end && (tlb_prot(hm, *end - 1) == prot || !tlb_in_set(set, *end - 1)))
		--*end;
	return *page < *end;
}

/* Changes of protection at the borders of pages page..page + n, both ends included. */
static uint64_t count_splits(const struct host_map *hm, uint64_t page, uint64_t n)
{
	uint64_t p = page ? page - 1 : 0, end = page + n < hm->npages ? page + n + 1 : hm->npages;
	uint64_t runs = 0;

	for (; p < end; p += tlb_run(hm, p, end))
		runs++;
	return runs - 1;
}

static uint64_t splits_after(const struct host_map *hm, uint64_t page, uint64_t n, uint32_t prot)
{
	return (page > 0 && tlb_prot(hm, page - 1) != prot) +
	       (page + n < hm->npages && tlb_prot(hm, page + n) != prot);
}

/* A call that failed half way has changed some of several mappings: make them as the bytes say. */
static void restore(struct host_map *hm, uint64_t addr, uint64_t page, uint64_t n)
{
	uint64_t end = page + n;

	for (uint64_t run; page < end; page += run, addr += run << UF_PAGE_SHIFT) {
		run = tlb_run(hm, page, end);
		sys_mprotect(addr, run << UF_PAGE_SHIFT, (int)tlb_prot(hm, page));
	}
}

static void set_prot(uint8_t *tlb, uint64_t n, uint8_t prot)
{
	for (uint64_t i = 0; i < n; i++)
		tlb[i] = (uint8_t)((tlb[i] & (uint8_t)~TLB_PROT) | prot);
}

static int protect(struct host_map *hm, uint64_t addr, uint64_t page, uint64_t n, uint32_t prot,
		   bool bounded)
{
	uint64_t before = count_splits(hm, page, n), after = splits_after(hm, page, n, prot);
	uint64_t used = registry_mappings();
	int err;

	if (bounded && after > before && used + after - before > current_budget(used))
		return -ENOMEM;
	err = sys_mprotect(addr, n << UF_PAGE_SHIFT, (int)prot);
	if (err != 0) {
		restore(hm, addr, page, n);
		return -ENOMEM;
	}
	set_prot(hm->tlb + page, n, (uint8_t)prot);
	hm->splits += after - before;
	atomic_fetch_add_explicit(&registry.splits, after - before, memory_order_relaxed);
	return 0;
}

int tlb_protect(struct host_map *hm, uint64_t addr, uint64_t page, uint64_t n, uint32_t prot)
{
	return protect(hm, addr, page, n, prot, true);
}

int tlb_protect_always(struct host_map *hm, uint64_t addr, uint64_t page, uint64_t n, uint32_t prot)
{
	return protect(hm, addr, page, n, prot, false);
}

/* Pages of the map that stand nowhere have bytes, too: they are closed. */
void tlb_recount(struct host_map *hm)
{
	uint64_t before = hm->splits;

	hm->splits = count_splits(hm, 0, hm->npages);
	atomic_fetch_add_explicit(&registry.splits, hm->splits - before, memory_order_relaxed);
}

/* ---- Making room ---- */

static uint64_t evict_piece(struct host_map *hm, uint64_t addr, uint64_t page, uint64_t n,
			    uint32_t around)
{
	uint64_t before = count_splits(hm, page, n);

	if (before <= splits_after(hm, page, n, around))
		return 0;
	hm->trap->evict(hm, addr, page, n, around);
	n = count_splits(hm, page, n);
	return before > n ? before - n : 0;
}

/* Chunk by chunk; *at is the page to go on with, the segment's end when all is done. */
static uint64_t evict_segment(const struct host_segment *s, uint64_t *at, uint64_t want)
{
	struct host_map *hm = arena_at(s->map);
	uint64_t end = s->first + s->npages, gained = 0;

	mach_write_lock(&hm->lock);
	if (hm->splits == 0)
		*at = end;
	while (*at < end && gained < want) {
		uint64_t next = (*at | (hm->chunk - 1)) + 1;
		uint32_t around = 0;

		if (next > end)
			next = end;
		if (*at > s->first)
			around = tlb_prot(hm, *at - 1);
		else if (next < end)
			around = tlb_prot(hm, next);
		gained += evict_piece(hm, s->addr + ((*at - s->first) << UF_PAGE_SHIFT), *at,
				      next - *at, around);
		*at = next;
	}
	mach_write_unlock(&hm->lock);
	return gained;
}

/* A clock over the addresses of all segments, so that what was opened last goes last. */
uint64_t tlb_evict(uint64_t want)
{
	static _Atomic uint64_t hand;
	uint64_t gained = 0, addr = atomic_load(&hand);
	uint32_t i, turns;

	mach_read_lock(&registry.lock);
	i = registry_find(addr);
	for (turns = 0; turns <= registry.count && gained < want && registry.count > 0; turns++) {
		const struct host_segment *s;
		uint64_t at;

		if (i >= registry.count) {
			i = 0;
			addr = 0;
		}
		s = &registry.segments[i];
		at = s->first + (addr > s->addr ? (addr - s->addr) >> UF_PAGE_SHIFT : 0);
		gained += evict_segment(s, &at, want - gained);
		addr = s->addr + ((at - s->first) << UF_PAGE_SHIFT);
		if (at == s->first + s->npages)
			i++;
	}
	mach_read_unlock(&registry.lock);
	atomic_store(&hand, addr);
	return gained;
}

/* ---- The contract ---- */

static int open_once(struct host_map *hm, const struct mach_span *span, uint64_t page, uint64_t n,
		     const uint64_t *bits, uint32_t prot)
{
	bool forked = atomic_load(&hm->marked) && (prot & UF_PROT_WRITE);
	int err = -EAGAIN;

	if (!forked) {
		mach_read_lock(&hm->lock);
		err = hm->trap->open(hm, span, page, n, bits, prot, false);
		mach_read_unlock(&hm->lock);
	}
	if (err != -EAGAIN)
		return err;
	mach_write_lock(&hm->lock);
	err = hm->trap->open(hm, span, page, n, bits, prot, true);
	if (err == 0 && forked && !bits)
		unshare_opened(hm, span, page, n);
	mach_write_unlock(&hm->lock);
	return err;
}

static int open_pages(struct host_map *hm, const struct mach_span *span, uint64_t page, uint64_t n,
		      const uint64_t *bits, uint32_t prot)
{
	int err;

	siblings_look();
	err = open_once(hm, span, page, n, bits, prot);
	for (int tries = 0; err == -ENOMEM && tries < OPEN_TRIES; tries++) {
		uint64_t used = registry_mappings();

		/* Where nothing can be merged the budget is too small for what there is. */
		if (tlb_evict(used / 8 + 8) == 0 && used < host.max_maps && fixed_budget == 0)
			atomic_store(&budget, used + used / 8 + 8);
		err = open_once(hm, span, page, n, bits, prot);
	}
	return err;
}

/* Nothing is mapped where pages were closed; where they were only read-only it still is. */
static bool any_closed(const struct host_map *hm, uint64_t page, uint64_t n)
{
	for (uint64_t p = page; p < page + n; p++) {
		if ((hm->tlb[p] & TLB_GUARD) || tlb_prot(hm, p) == 0)
			return true;
	}
	return false;
}

/* The area's protection is what a map that goes on where this one ends begins with. */
static void note_prot(struct host_map *hm, const struct mach_span *span)
{
	if (atomic_load_explicit(&hm->prot, memory_order_relaxed) != span->prot)
		atomic_store_explicit(&hm->prot, span->prot, memory_order_relaxed);
}

/* What is shared by fork can be read. */
static uint32_t may_open(const struct host_map *hm, uint32_t prot)
{
	if (atomic_load(&hm->share) == MAP_FROZEN && (prot & UF_PROT_WRITE))
		return (prot & ~UF_PROT_WRITE) | UF_PROT_READ;
	return prot;
}

/* Has the host something at hand for all of these pages? */
static bool at_hand(const struct host_map *hm, const struct mach_map *map, uint64_t page,
		    uint64_t n)
{
	if (hm->in_place || atomic_load(&hm->share) == MAP_COPIED)
		return true;
	return hm->file == 0 && frames_allocated(map, page, n);
}

int mach_tlb_open(const struct mach_span *span, uint64_t page, uint64_t n, uint32_t prot)
{
	struct host_map *hm = host_map_of(span->map);
	bool populate = n >= POPULATE_PAGES && (prot & UF_PROT_READ) && any_closed(hm, page, n) &&
			at_hand(hm, span->map, page, n);
	int err;

	note_prot(hm, span);
	prot = may_open(hm, prot);
	err = open_pages(hm, span, page, n, NULL, prot);
	if (err == 0 && populate)
		sys_madvise(span_addr(span, page), n << UF_PAGE_SHIFT, MADV_POPULATE_READ);
	return err;
}

/* Such sets have gaps, and what is next to a gap is left to its first touch. */
int mach_tlb_open_set(const struct mach_span *span, uint64_t page, uint64_t n, const uint64_t *bits,
		      uint32_t prot)
{
	struct host_map *hm = host_map_of(span->map);

	note_prot(hm, span);
	return open_pages(hm, span, page, n, bits, may_open(hm, prot));
}

void mach_tlb_limit(const struct mach_span *span, uint64_t page, uint64_t n, uint32_t prot)
{
	struct host_map *hm = host_map_of(span->map);
	int err;

	note_prot(hm, span);
	siblings_look();
	mach_read_lock(&hm->lock);
	if (atomic_load(&hm->marked) && !(prot & UF_PROT_WRITE))
		unshare_limited(hm, page, n);
	err = hm->trap->limit(hm, span, page, n, prot, false);
	mach_read_unlock(&hm->lock);
	if (err == 0)
		return;
	mach_write_lock(&hm->lock);
	err = hm->trap->limit(hm, span, page, n, prot, true);
	/* The host has no room to split: close all of the span, which needs none. */
	if (err != 0)
		tlb_protect_always(hm, span->addr, span->first, span->npages, PROT_NONE);
	mach_write_unlock(&hm->lock);
}
