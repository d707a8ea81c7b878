/*
 * aside.c - what stood in a range before it was adopted, moved out of the way and drawn in page by
 * page when it is touched.
 */
#include <linux/fs.h>

#include "machine/host/internal.h"

#ifndef PAGEMAP_SCAN
struct page_region {
	uint64_t start, end, categories;
};
struct pm_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN	_IOWR('f', 16, struct pm_scan_arg)
#define PAGE_IS_PRESENT (1 << 3)
#define PAGE_IS_SWAPPED (1 << 4)
#endif

#define REGIONS	    8
#define PAGEMAP_RUN 64

/* A page table's worth. */
#define ASIDE_BLOCK_MIN 512
/* Bits 62 and 63 of a pagemap word: swapped, present. */
#define PM_HERE (3ull << 62)

/* Descriptor of /proc/self/pagemap plus 1; 0: not opened yet; negative: cannot be. */
static _Atomic int pagemap;
static _Atomic bool no_scan;

static int pagemap_fd(void)
{
	int fd = atomic_load(&pagemap), none = 0;

	if (fd != 0)
		return fd < 0 ? fd : fd - 1;
	fd = host_hide_fd(sys_open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
	if (!atomic_compare_exchange_strong(&pagemap, &none, fd < 0 ? fd : fd + 1)) {
		host_close_hidden(fd);
		return pagemap_fd();
	}
	return fd;
}

void aside_after_fork(void)
{
	atomic_store(&pagemap, 0);
}

/*
 * Stretches of [addr, addr + len) that have pages, at most `max` and at most `pages` pages; *walked
 * is how far the search came. Negative errno when the host cannot say.
 */
static long scan(uint64_t addr, uint64_t len, struct page_region *out, uint64_t max, uint64_t pages,
		 uint64_t *walked)
{
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = addr,
		.end = addr + len,
		.vec = (uint64_t)out,
		.vec_len = max,
		.max_pages = pages,
		.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
		.return_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
	};
	long n;

	if (atomic_load_explicit(&no_scan, memory_order_relaxed))
		return -ENOTTY;
	n = sys_ioctl(pagemap_fd(), PAGEMAP_SCAN, &arg);
	if (n == -ENOTTY || n == -EBADF)
		atomic_store(&no_scan, true);
	*walked = arg.walk_end;
	return n;
}

/* Bits of at most PAGEMAP_RUN pages from pagemap words, or from mincore where there is no /proc. */
static uint64_t read_run(uint64_t addr, uint64_t n)
{
	uint64_t words[PAGEMAP_RUN], bits = 0;
	uint8_t core[PAGEMAP_RUN];
	int fd = pagemap_fd();

	if (fd >= 0 && sys_pread(fd, words, n * 8, (addr >> UF_PAGE_SHIFT) * 8) == (long)(n * 8)) {
		for (uint64_t i = 0; i < n; i++)
			bits |= (uint64_t)((words[i] & PM_HERE) != 0) << i;
	} else if (sys_mincore(addr, n << UF_PAGE_SHIFT, core) == 0) {
		for (uint64_t i = 0; i < n; i++)
			bits |= (uint64_t)(core[i] & 1) << i;
	} else {
		bits = n < 64 ? (1ull << n) - 1 : ~0ull;
	}
	return bits;
}

bool aside_populated(uint64_t addr, uint64_t len)
{
	struct page_region first;
	uint64_t walked, npages = len >> UF_PAGE_SHIFT;
	long n = scan(addr, len, &first, 1, 1, &walked);

	if (n >= 0)
		return n > 0;
	for (uint64_t i = 0; i < npages; i += PAGEMAP_RUN) {
		uint64_t run = npages - i < PAGEMAP_RUN ? npages - i : PAGEMAP_RUN;

		if (read_run(addr + (i << UF_PAGE_SHIFT), run) != 0)
			return true;
	}
	return false;
}

static void query_runs(uint64_t addr, uint64_t n, uint64_t *bits)
{
	for (uint64_t i = 0; i < n; i += PAGEMAP_RUN) {
		uint64_t run = n - i < PAGEMAP_RUN ? n - i : PAGEMAP_RUN;

		bits[i / 64] = read_run(addr + (i << UF_PAGE_SHIFT), run);
	}
}

static bool query_scan(uint64_t addr, uint64_t n, uint64_t *bits)
{
	struct page_region found[REGIONS];
	uint64_t at = addr, end = addr + (n << UF_PAGE_SHIFT);

	while (at < end) {
		uint64_t walked = end;
		long got = scan(at, end - at, found, REGIONS, 0, &walked);

		if (got < 0)
			return false;
		for (long r = 0; r < got; r++) {
			uint64_t i = (found[r].start - addr) >> UF_PAGE_SHIFT;
			uint64_t last = (found[r].end - addr) >> UF_PAGE_SHIFT;

			for (; i < last; i++)
				bits[i / 64] |= 1ull << (i % 64);
		}
		at = got < REGIONS ? end : walked;
	}
	return true;
}

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
	if (!query_scan(hm->aside + (page << UF_PAGE_SHIFT), n, bits)) {
		memset(bits, 0, (n + 63) / 64 * 8);
		query_runs(hm->aside + (page << UF_PAGE_SHIFT), n, bits);
	}
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

void mach_aside_draw(struct mach_map *map, uint64_t page, uint64_t n)
{
	struct host_map *hm = host_map_of(map);
	uint64_t from = hm->aside + (page << UF_PAGE_SHIFT);
	long got;

	make_readable(hm, page, n);
	got = frames_copy(map, page, n, from);

	/* What is aside is the only copy: when the host had no frame to give, insist. */
	for (uint64_t i = got > 0 ? (uint64_t)got : 0; i < n; i++)
		memcpy(frames_pointer(map, page + i), (void *)(from + (i << UF_PAGE_SHIFT)),
		       UF_PAGE_SIZE);
	sys_madvise(from, n << UF_PAGE_SHIFT, MADV_DONTNEED);
	settle(map, hm, page, n);
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
