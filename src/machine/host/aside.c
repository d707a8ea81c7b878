/*
 * aside.c - what stood in a range before it was adopted, moved out of the way and drawn in page by
 * page when it is touched.
 */
#include "machine/host/internal.h"

/* A page table's worth. */
#define ASIDE_BLOCK_MIN 512

static bool settled(const struct host_map *hm, uint64_t page)
{
	return atomic_load_explicit(&hm->settled[page / 64], memory_order_relaxed) >> (page % 64) &
	       1;
}

void mach_aside_query(struct mach_map *map, uint64_t page, uint64_t n, uint64_t *bits)
{
	struct host_map *hm = host_map_of(map);

	memset(bits, 0, (n + 63) / 64 * 8);
	if (!hm->settled || atomic_load(&hm->unsettled) == 0)
		return;
	pagemap_query(hm->aside + (page << UF_PAGE_SHIFT), n, PAGEMAP_HERE, bits);
	/* Settled pages count whatever the host says: the range may be gone, or anybody's, by now.
	 */
	for (uint64_t i = 0; i < n; i++) {
		if (settled(hm, page + i))
			bits[i / 64] &= ~(1ull << (i % 64));
	}
}

void aside_begin(struct mach_map *map, struct host_map *hm, uint64_t addr,
		 _Atomic uint64_t *settled)
{
	uint64_t block = ASIDE_BLOCK_MIN;

	while (block * ASIDE_BLOCKS < map->npages)
		block *= 2;
	hm->aside_block = block;
	hm->aside = addr;
	hm->aside_len = map->npages << UF_PAGE_SHIFT;
	hm->settled = settled;
	atomic_store(&hm->unsettled, map->npages);
	atomic_fetch_add(&registry.asides, 1);
	map->aside = addr;
	map->aside_pages = map->npages;
}

/*
 * The range was closed when it was moved. To open it all again takes time for each page, of which
 * few may ever be wanted: it becomes readable block by block.
 */
static void make_readable(struct host_map *hm, uint64_t page, uint64_t n)
{
	uint64_t block = page / hm->aside_block, last = (page + n - 1) / hm->aside_block;

	for (; block <= last; block++) {
		_Atomic uint64_t *word = &hm->readable[block / 64];
		uint64_t bit = 1ull << (block % 64), addr = hm->aside, len = hm->aside_len;
		uint64_t off = (block * hm->aside_block) << UF_PAGE_SHIFT;

		if (atomic_load(word) & bit)
			continue;
		if (len - off > hm->aside_block << UF_PAGE_SHIFT)
			len = off + (hm->aside_block << UF_PAGE_SHIFT);
		/* Where the host has no room for one more mapping, all of it takes none. */
		if (sys_mprotect(addr + off, len - off, PROT_READ) != 0)
			sys_mprotect(hm->aside, hm->aside_len, PROT_READ);
		if (!(atomic_fetch_or(word, bit) & bit))
			atomic_fetch_add(&registry.asides, 1);
	}
}

/* The aside range is unmapped: so many mappings fewer. */
static void forget_readable(struct host_map *hm)
{
	uint64_t blocks = 1;

	for (unsigned i = 0; i < ASIDE_BLOCKS / 64; i++)
		blocks += count_bits(atomic_exchange(&hm->readable[i], 0));
	atomic_fetch_sub(&registry.asides, blocks);
}

/*
 * Nothing is aside for these pages any more. Whoever settles the last page unmaps; the callers hold
 * page-table locks of different pages.
 */
static void settle(struct mach_map *map, struct host_map *hm, uint64_t page, uint64_t n)
{
	uint64_t fresh = 0;

	for (uint64_t i = page; i < page + n; i++) {
		uint64_t bit = 1ull << (i % 64);

		fresh += !(atomic_fetch_or(&hm->settled[i / 64], bit) & bit);
	}
	if (fresh == 0 || atomic_fetch_sub(&hm->unsettled, fresh) != fresh)
		return;
	sys_munmap(hm->aside, hm->aside_len);
	forget_readable(hm);
	map->aside = 0;
}

/* What is aside is the only copy: where the host has no frame to give for the extent, insist. */
static void draw_to_extent(const struct mach_map *map, uint64_t page, uint64_t n, uint64_t from)
{
	long got = frames_copy(map, page, n, from);

	for (uint64_t i = got > 0 ? (uint64_t)got : 0; i < n; i++)
		memcpy(frames_pointer(map, page + i), (void *)(from + (i << UF_PAGE_SHIFT)),
		       UF_PAGE_SIZE);
}

int mach_aside_draw(const struct mach_span *span, uint64_t page, uint64_t n)
{
	struct mach_map *map = span->map;
	struct host_map *hm = host_map_of(map);
	uint64_t from = hm->aside + (page << UF_PAGE_SHIFT);
	int err = unshare_map(map);

	if (err != 0)
		return err;
	make_readable(hm, page, n);
	unshare_drawn(map, page, n, from);
	if (unshare_in_extent(map))
		draw_to_extent(map, page, n, from);
	else if (copied_copy(span, page, n, from) != (long)n)
		return -ENOMEM;
	sys_madvise(from, n << UF_PAGE_SHIFT, MADV_DONTNEED);
	settle(map, hm, page, n);
	return 0;
}

void mach_aside_drop(struct mach_map *map, uint64_t page, uint64_t n)
{
	struct host_map *hm = host_map_of(map);

	if (!hm->settled || atomic_load(&hm->unsettled) == 0)
		return;
	sys_madvise(hm->aside + (page << UF_PAGE_SHIFT), n << UF_PAGE_SHIFT, MADV_DONTNEED);
	settle(map, hm, page, n);
}

void aside_release(struct mach_map *map, struct host_map *hm)
{
	uint64_t words = (hm->npages + 63) / 64;

	if (!hm->settled)
		return;
	if (atomic_load(&hm->unsettled) != 0) {
		sys_munmap(hm->aside, hm->aside_len);
		forget_readable(hm);
	}
	map->aside = 0;
	arena_free((void *)hm->settled, words * 8);
	hm->settled = NULL;
}

bool aside_own(uint64_t addr, uint64_t len)
{
	bool own = false;

	if (atomic_load_explicit(&registry.asides, memory_order_relaxed) == 0)
		return false;
	mach_read_lock(&registry.lock);
	for (struct host_map *hm = arena_at(registry.maps); hm && !own; hm = arena_at(hm->next)) {
		own = hm->settled && atomic_load(&hm->unsettled) != 0 &&
		      addr < hm->aside + hm->aside_len && hm->aside < addr + len;
	}
	mach_read_unlock(&registry.lock);
	return own;
}
