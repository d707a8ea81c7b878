/*
 * unshare.c - extents that a fork shares, and maps that are copied on write.
 *
 * A fork freezes the extents there are: both processes may read them, neither writes. What comes of
 * a frozen map when its contents are to change is decided then. If no child is alive that has
 * inherited it, it is the process's own again. Otherwise a private mapping of the extent takes the
 * place of the program's: the host copies on write from then on, by itself, and what is filled is
 * written into that mapping. Its pages cannot be closed by guards, which would drop copies.
 *
 * The frozen extent is what a copied map shows where nobody has written, so it stays as it is until
 * nobody is left who has it (frames.c).
 */
#include "machine/host/internal.h"

#define UNSHARE_BITS (TLB_FORKED | TLB_RESTORE)

/* Pages that are let through for writing together, where a fork had taken that away. */
#define RESTORE_PAGES 512

bool unshare_in_extent(const struct mach_map *map)
{
	return atomic_load(&host_map_of(map)->share) != MAP_COPIED;
}

void unshare_freeze(struct host_map *hm, uint32_t fork)
{
	for (uint64_t p = 0; p < hm->npages; p++) {
		uint8_t was = hm->tlb[p], wrote = (was & UF_PROT_WRITE) && !(was & TLB_GUARD);

		hm->tlb[p] = (uint8_t)(was | TLB_FORKED | (wrote ? TLB_RESTORE : 0));
	}
	atomic_store(&hm->marked, true);
	if (atomic_load(&hm->share) != MAP_OWN)
		return;
	hm->since = fork;
	atomic_store(&hm->share, MAP_FROZEN);
}

static void clear(struct host_map *hm, uint64_t page, uint64_t n, uint8_t bits)
{
	for (uint64_t p = page; p < page + n; p++)
		hm->tlb[p] &= (uint8_t)~bits;
}

void unshare_filled(const struct mach_map *map, uint64_t page, uint64_t n)
{
	struct host_map *hm = host_map_of(map);

	if (!atomic_load(&hm->marked))
		return;
	mach_read_lock(&hm->lock);
	clear(hm, page, n, UNSHARE_BITS);
	mach_read_unlock(&hm->lock);
}

void unshare_drawn(const struct mach_map *map, uint64_t page, uint64_t n, uint64_t from)
{
	struct host_map *hm = host_map_of(map);

	if (!fork_ever())
		return;
	mach_read_lock(&hm->lock);
	for (uint64_t i = 0; i < n; i++) {
		if (pagemap_exclusive(from + (i << UF_PAGE_SHIFT), 1) == 1)
			continue;
		hm->tlb[page + i] |= TLB_FORKED;
		atomic_store(&hm->marked, true);
	}
	mach_read_unlock(&hm->lock);
}

void unshare_limited(struct host_map *hm, uint64_t page, uint64_t n)
{
	clear(hm, page, n, TLB_RESTORE);
}

/* Can the page be let through for writing, as it was, together with one that has this protection?
 */
static bool restores(const struct host_map *hm, uint64_t page, uint32_t prot)
{
	return (hm->tlb[page] & TLB_RESTORE) && !tlb_guarded(hm, page) &&
	       (tlb_prot(hm, page) | UF_PROT_WRITE) == prot;
}

void unshare_opened(struct host_map *hm, const struct mach_span *span, uint64_t page, uint64_t n)
{
	uint64_t first = page, end = page + n, lo = page & ~(uint64_t)(RESTORE_PAGES - 1);
	uint64_t hi = lo + RESTORE_PAGES;
	uint32_t prot = tlb_prot(hm, page);

	clear(hm, page, n, UNSHARE_BITS);
	if (atomic_load(&hm->share) != MAP_OWN || !(prot & UF_PROT_WRITE))
		return;
	lo = lo > span->first ? lo : span->first;
	hi = hi < span->first + span->npages ? hi : span->first + span->npages;
	while (first > lo && restores(hm, first - 1, prot))
		first--;
	while (end < hi && restores(hm, end, prot))
		end++;
	if (end - first > n &&
	    tlb_protect(hm, span_addr(span, first), first, end - first, prot) == 0)
		clear(hm, first, end - first, UNSHARE_BITS);
}

/* ---- Taking back -------------------------------------------------------------------------------
 * The registry is locked, the map for writing.
 */

static const struct host_segment *next_segment(const struct host_map *hm, uint32_t *i)
{
	uf_ref map = arena_ref(hm);

	while (*i < registry.count) {
		const struct host_segment *s = &registry.segments[(*i)++];

		if (s->map == map)
			return s;
	}
	return NULL;
}

static int take_back(struct host_map *hm)
{
	const struct host_segment *s;

	for (uint32_t i = 0; (s = next_segment(hm, &i)) != NULL;)
		sys_madvise(s->addr, s->npages << UF_PAGE_SHIFT, MADV_DONTFORK);
	atomic_store(&hm->share, MAP_OWN);
	return 0;
}

/* ---- Copying on write ---- */

/* What the page lets through now. */
static uint32_t effective(const struct host_map *hm, uint64_t page)
{
	return tlb_guarded(hm, page) ? 0 : tlb_prot(hm, page);
}

static uint64_t effective_run(const struct host_map *hm, uint64_t page, uint64_t end)
{
	uint64_t p = page + 1;

	while (p < end && effective(hm, p) == effective(hm, page))
		p++;
	return p - page;
}

/*
 * A private mapping of the stretch's part of the extent, made elsewhere. It has had a page of its
 * own before it is cut into pieces, so that the host can join those again.
 */
static long make_private(const struct host_map *hm, const struct mach_map *map,
			 const struct host_segment *s)
{
	uint64_t len = s->npages << UF_PAGE_SHIFT;
	long at = sys_mmap(0, len, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE, frames_file(hm),
			   (map->extent + s->first) << UF_PAGE_SHIFT);

	if (sys_failed(at))
		return at;
	sys_munlock((uint64_t)at, len);
	if (sys_mprotect((uint64_t)at, UF_PAGE_SIZE, PROT_READ | PROT_WRITE) == 0 &&
	    sys_madvise((uint64_t)at, UF_PAGE_SIZE, MADV_POPULATE_WRITE) == 0)
		sys_madvise((uint64_t)at, UF_PAGE_SIZE, MADV_DONTNEED);
	sys_mprotect((uint64_t)at, UF_PAGE_SIZE, PROT_NONE);
	return at;
}

/*
 * Piece by piece, each in one step over what shows the same, with at most the same let through. A
 * stretch of more pieces than the host has room for is closed.
 */
static int put_private(struct host_map *hm, const struct host_segment *s, uint64_t at)
{
	uint64_t end = s->first + s->npages, run;

	for (uint64_t p = s->first; p < end; p += run) {
		uint64_t off = (p - s->first) << UF_PAGE_SHIFT, len;
		uint32_t prot = effective(hm, p);
		long put;

		run = effective_run(hm, p, end);
		len = run << UF_PAGE_SHIFT;
		if (prot != 0 && sys_mprotect(at + off, len, (int)prot) != 0)
			prot = 0;
		put = sys_mremap(at + off, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, s->addr + off);
		if (sys_failed(put)) {
			sys_munmap(at + off, ((end - p) << UF_PAGE_SHIFT));
			return -ENOMEM;
		}
		for (uint64_t i = p; i < p + run; i++)
			hm->tlb[i] = (uint8_t)((hm->tlb[i] & UNSHARE_BITS) | prot);
	}
	return 0;
}

/* What was written before the fork is written again without asking. */
static void restore(struct host_map *hm, const struct host_segment *s)
{
	uint64_t end = s->first + s->npages, run;

	for (uint64_t p = s->first; p < end; p += run) {
		uint32_t prot = tlb_prot(hm, p) | UF_PROT_WRITE;

		for (run = 0; p + run < end && restores(hm, p + run, prot); run++)
			;
		if (run > 0 && tlb_prot(hm, p) != 0)
			tlb_protect(hm, s->addr + ((p - s->first) << UF_PAGE_SHIFT), p, run, prot);
		run += run == 0;
	}
}

/*
 * Nothing is let through for writing before all of the map is private: should there be no room for
 * that, it is frozen still, and what was done is done once more next time.
 */
static int convert(struct host_map *hm, const struct mach_map *map)
{
	const struct host_segment *s;

	for (uint32_t i = 0; (s = next_segment(hm, &i)) != NULL;) {
		long at = make_private(hm, map, s);
		int err = sys_failed(at) ? -ENOMEM : put_private(hm, s, (uint64_t)at);

		if (err != 0) {
			tlb_recount(hm);
			return err;
		}
	}
	tlb_recount(hm);
	hm->trap = &trap_mprotect;
	atomic_store(&hm->share, MAP_COPIED);
	for (uint32_t i = 0; (s = next_segment(hm, &i)) != NULL;)
		restore(hm, s);
	clear(hm, 0, hm->npages, TLB_RESTORE);
	return 0;
}

int unshare_map(const struct mach_map *map)
{
	struct host_map *hm = host_map_of(map);
	int err = 0;

	if (atomic_load(&hm->share) != MAP_FROZEN)
		return 0;
	mach_read_lock(&registry.lock);
	mach_write_lock(&hm->lock);
	if (atomic_load(&hm->share) == MAP_FROZEN)
		err = hm->file == 0 && !fork_children(hm->since) ? take_back(hm) : convert(hm, map);
	mach_write_unlock(&hm->lock);
	mach_read_unlock(&registry.lock);
	return err;
}

int mach_map_unshare(const struct mach_span *span)
{
	return span->map->kind == MACH_MAP_FRAMES ? unshare_map(span->map) : 0;
}

/* ---- Who shares a page? ---- */

/* Is the page of a private mapping a file's, or a copy that nobody else has? */
static bool copy_is_own(const struct mach_span *span, uint64_t page)
{
	uint64_t addr = span_addr(span, page), bits[1] = {0};

	pagemap_query(addr, 1, PAGEMAP_PRIVATE, bits);
	return !(bits[0] & 1) || pagemap_exclusive(addr, 1) == 1;
}

static bool own_page(const struct host_map *hm, const struct mach_span *span, uint64_t page)
{
	if (span->map->kind == MACH_MAP_PRIVATE)
		return copy_is_own(span, page);
	if (!(hm->tlb[page] & TLB_FORKED))
		return true;
	return atomic_load(&hm->share) == MAP_COPIED &&
	       pagemap_exclusive(span_addr(span, page), 1) == 1;
}

uint64_t mach_pages_unshared(const struct mach_span *span, uint64_t page, uint64_t n)
{
	const struct host_map *hm = host_map_of(span->map);
	uint64_t i = 0;

	if (span->map->kind == MACH_MAP_SHARED || !fork_ever() ||
	    (span->map->kind == MACH_MAP_FRAMES && !atomic_load(&hm->marked)))
		return n;
	while (i < n && own_page(hm, span, page + i))
		i++;
	return i;
}

/* ---- Contents of copied maps ---- */

long copied_copy(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t src)
{
	return fill_write_private(span_addr(span, page), n, src);
}

int copied_zero(const struct mach_span *span, uint64_t page, uint64_t n)
{
	return fill_zero_private(span_addr(span, page), n) == (long)n ? 0 : -ENOMEM;
}

void copied_drop(const struct mach_span *span, uint64_t page, uint64_t n)
{
	if (span->addr != 0)
		sys_madvise(span_addr(span, page), n << UF_PAGE_SHIFT, MADV_DONTNEED);
}

int copied_read(const struct mach_span *span, uint64_t page, void *buf)
{
	if (span->addr == 0 || fill_memory_fd() < 0)
		return -EFAULT;
	return sys_pread(fill_memory_fd(), buf, UF_PAGE_SIZE, span_addr(span, page)) == UF_PAGE_SIZE
		       ? 0
		       : -EFAULT;
}
