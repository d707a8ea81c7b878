/* pagemap.c - which pages the host has in a range, and whose they are. */
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
#define PAGE_IS_FILE	(1 << 2)
#define PAGE_IS_PRESENT (1 << 3)
#define PAGE_IS_SWAPPED (1 << 4)
#endif

#define REGIONS	    64
#define PAGEMAP_RUN 64

/* Bits of a pagemap word: swapped or present; of a file, or shared. */
#define PM_HERE (3ull << 62)
#define PM_FILE (1ull << 61)
/* No other address space has it mapped. */
#define PM_EXCLUSIVE (1ull << 56)

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

void pagemap_after_fork(void)
{
	atomic_store(&pagemap, 0);
}

/*
 * Stretches of [addr, addr + len) that have such pages, at most `max` and at most `pages` pages;
 * *walked is how far the search came. Negative errno when the host cannot say.
 */
static long scan(uint64_t addr, uint64_t len, enum pagemap_what what, struct page_region *out,
		 uint64_t max, uint64_t pages, uint64_t *walked)
{
	uint64_t no_file = what == PAGEMAP_PRIVATE ? PAGE_IS_FILE : 0;
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = addr,
		.end = addr + len,
		.vec = (uint64_t)out,
		.vec_len = max,
		.max_pages = pages,
		.category_inverted = no_file,
		.category_mask = no_file,
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

static bool word_matches(uint64_t word, enum pagemap_what what)
{
	return (word & PM_HERE) && (what == PAGEMAP_HERE || !(word & PM_FILE));
}

/* Bits of at most PAGEMAP_RUN pages from pagemap words, or from mincore where there is no /proc. */
static uint64_t read_run(uint64_t addr, uint64_t n, enum pagemap_what what)
{
	uint64_t words[PAGEMAP_RUN], bits = 0;
	uint8_t core[PAGEMAP_RUN];
	int fd = pagemap_fd();

	if (fd >= 0 && sys_pread(fd, words, n * 8, (addr >> UF_PAGE_SHIFT) * 8) == (long)(n * 8)) {
		for (uint64_t i = 0; i < n; i++)
			bits |= (uint64_t)word_matches(words[i], what) << i;
	} else if (sys_mincore(addr, n << UF_PAGE_SHIFT, core) == 0) {
		for (uint64_t i = 0; i < n; i++)
			bits |= (uint64_t)(core[i] & 1) << i;
	} else {
		bits = n < 64 ? (1ull << n) - 1 : ~0ull;
	}
	return bits;
}

bool pagemap_any(uint64_t addr, uint64_t len)
{
	struct page_region first;
	uint64_t walked, npages = len >> UF_PAGE_SHIFT;
	long n = scan(addr, len, PAGEMAP_HERE, &first, 1, 1, &walked);

	if (n >= 0)
		return n > 0;
	for (uint64_t i = 0; i < npages; i += PAGEMAP_RUN) {
		uint64_t run = npages - i < PAGEMAP_RUN ? npages - i : PAGEMAP_RUN;

		if (read_run(addr + (i << UF_PAGE_SHIFT), run, PAGEMAP_HERE) != 0)
			return true;
	}
	return false;
}

static bool query_scan(uint64_t addr, uint64_t n, enum pagemap_what what, uint64_t *bits)
{
	struct page_region found[REGIONS];
	uint64_t at = addr, end = addr + (n << UF_PAGE_SHIFT);

	while (at < end) {
		uint64_t walked = end;
		long got = scan(at, end - at, what, found, REGIONS, 0, &walked);

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

void pagemap_query(uint64_t addr, uint64_t n, enum pagemap_what what, uint64_t *bits)
{
	memset(bits, 0, (n + 63) / 64 * 8);
	if (query_scan(addr, n, what, bits))
		return;
	memset(bits, 0, (n + 63) / 64 * 8);
	for (uint64_t i = 0; i < n; i += PAGEMAP_RUN) {
		uint64_t run = n - i < PAGEMAP_RUN ? n - i : PAGEMAP_RUN;

		bits[i / 64] = read_run(addr + (i << UF_PAGE_SHIFT), run, what);
	}
}

uint64_t pagemap_exclusive(uint64_t addr, uint64_t n)
{
	uint64_t words[PAGEMAP_RUN], run, i = 0;
	long got;

	n = n < PAGEMAP_RUN ? n : PAGEMAP_RUN;
	got = sys_pread(pagemap_fd(), words, n * 8, (addr >> UF_PAGE_SHIFT) * 8);
	run = got > 0 ? (uint64_t)got / 8 : 0;
	/* What the host has swapped out is told of as nobody's. */
	while (i < run && (words[i] & PM_HERE) && !(words[i] & PM_FILE) &&
	       ((words[i] & PM_EXCLUSIVE) || !(words[i] >> 63)))
		i++;
	return i;
}
