/*
 * hugetlb.c - which huge pages a file has, and private ones.
 *
 * The host tells that of a page which a mapping shows (mincore), and how many there are altogether
 * (st_blocks); SEEK_DATA it does not offer. So the pages that are known are kept, one bit each; as
 * long as they are as many as the host counts, they are all. Otherwise somebody else has made or
 * removed some, and a page is found out by mapping it privately: what a read finds there is the
 * file's page, or a fresh one that is nobody's and goes again.
 */
#include "machine/host/internal.h"

#define KNOWN_MIN 1024

static uint64_t index_of(const struct host_file *f, uint64_t page)
{
	return page >> (f->shift - UF_PAGE_SHIFT);
}

/* f->lock held. False: no memory; then a page stays unknown, which only costs time. */
static bool make_room(struct host_file *f, uint64_t index)
{
	uint64_t pages = f->known_pages ? f->known_pages : KNOWN_MIN;
	uint64_t *known;

	while (pages <= index)
		pages *= 2;
	if (pages == f->known_pages)
		return true;
	known = arena_alloc(pages / 8);
	if (!known)
		return false;
	if (f->known) {
		memcpy(known, f->known, f->known_pages / 8);
		arena_free(f->known, f->known_pages / 8);
	}
	f->known = known;
	f->known_pages = pages;
	return true;
}

/* f->lock held. */
static void note_one(struct host_file *f, uint64_t index, bool there)
{
	uint64_t bit = 1ull << (index % 64);

	if (!make_room(f, index) || ((f->known[index / 64] & bit) != 0) == there)
		return;
	f->known[index / 64] ^= bit;
	f->known_count += there ? 1 : -1ull;
}

void huge_note(struct host_file *f, uint64_t page, uint64_t n, bool there)
{
	uint64_t end = index_of(f, page + n);

	mach_lock(&f->lock);
	for (uint64_t i = index_of(f, page); i < end; i++)
		note_one(f, i, there);
	mach_unlock(&f->lock);
}

/* Does the file have as many pages as are known? *there: is this one of them? */
static bool all_known(struct host_file *f, uint64_t index, bool *there)
{
	struct stat st;
	bool all;

	if (sys_fstat(f->fd, &st) != 0)
		return false;
	mach_lock(&f->lock);
	all = f->known_count == (uint64_t)st.st_blocks >> (f->shift - 9);
	*there = index < f->known_pages && (f->known[index / 64] >> (index % 64) & 1);
	mach_unlock(&f->lock);
	return all;
}

/* Where no huge page is free, one that can be read is the file's. */
static bool probe(const struct host_file *f, uint64_t index)
{
	uint64_t len = 1ull << f->shift, bits = 0;
	long at =
		sys_mmap(0, len, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE, f->fd, index << f->shift);
	bool there = false;

	if (sys_failed(at))
		return false;
	sys_munlock((uint64_t)at, len);
	sys_madvise((uint64_t)at, len, MADV_DONTFORK);
	if (sys_mprotect((uint64_t)at, len, PROT_READ) == 0 &&
	    sys_madvise((uint64_t)at, len, MADV_POPULATE_READ) == 0) {
		pagemap_query((uint64_t)at, 1, PAGEMAP_PRIVATE, &bits);
		there = !(bits & 1);
	}
	sys_munmap((uint64_t)at, len);
	return there;
}

bool huge_look(const struct mach_span *span, uint64_t page)
{
	const struct mach_map *map = span->map;
	struct host_file *f = file_of(map);
	uint64_t index = index_of(f, map->file_page + page);
	bool there = false;
	uint8_t core;

	if (map->alias &&
	    sys_mincore(map->alias + (page << UF_PAGE_SHIFT), UF_PAGE_SIZE, &core) == 0 &&
	    (core & 1)) {
		huge_note(f, map->file_page + page, 1ull << (f->shift - UF_PAGE_SHIFT), true);
		return true;
	}
	if (f->fd < 0)
		return false;
	if (!all_known(f, index, &there)) {
		there = probe(f, index);
		mach_lock(&f->lock);
		note_one(f, index, there);
		mach_unlock(&f->lock);
	}
	return there;
}

/* ---- Private pages ---- */

/* Mappings of their own that pages have, of the whole process. */
static _Atomic uint64_t pages_apart;

/* Mappings that the program has made special must stay what they are. */
void huge_may_put(struct host_map *hm, const struct host_file *f, uint64_t start)
{
	struct smaps_fields fields;

	if (f->shift != HUGE_SHIFT || f->fd < 0 || smaps_read(start, &fields) != 0 ||
	    !fields.found || fields.special)
		return;
	hm->apart = arena_alloc((hm->npages / HUGE_PAGES + 63) / 64 * 8);
	hm->noreserve = fields.noreserve;
	atomic_store(&hm->replaceable, hm->apart != NULL);
}

void huge_release(struct host_map *hm)
{
	uint64_t words = (hm->npages / HUGE_PAGES + 63) / 64, count = 0;

	if (!hm->apart)
		return;
	for (uint64_t i = 0; i < words; i++)
		count += count_bits(hm->apart[i]);
	atomic_fetch_sub(&pages_apart, count);
	arena_free(hm->apart, words * 8);
	hm->apart = NULL;
}

/* Some of the host's mappings may be used up for this, an eighth. */
static bool claim_apart(struct host_map *hm, uint64_t page)
{
	_Atomic uint64_t *word = (_Atomic uint64_t *)&hm->apart[page / HUGE_PAGES / 64];
	uint64_t bit = 1ull << (page / HUGE_PAGES % 64);

	if (atomic_load(word) & bit)
		return true;
	if (atomic_fetch_add(&pages_apart, 1) >= host.max_maps / 8) {
		atomic_fetch_sub(&pages_apart, 1);
		return false;
	}
	atomic_fetch_or(word, bit);
	return true;
}

/* The page, written to, in a mapping like the program's, and closed. 0: there is none to be had. */
static long make_page(const struct mach_span *span, uint64_t page, const void *src, uint64_t *made)
{
	const struct host_file *f = file_of(span->map);
	int flags = MAP_PRIVATE | (host_map_of(span->map)->noreserve ? MAP_NORESERVE : 0);
	uint64_t len = 1ull << HUGE_SHIFT;
	long at = sys_mmap(0, len, PROT_NONE, flags, f->fd,
			   (span->map->file_page + page) << UF_PAGE_SHIFT);
	long done = 0;

	if (sys_failed(at))
		return 0;
	sys_munlock((uint64_t)at, len);
	if (sys_mprotect((uint64_t)at, len, PROT_READ | PROT_WRITE) == 0 &&
	    sys_madvise((uint64_t)at, len, MADV_POPULATE_WRITE) == 0)
		done = HUGE_PAGES;
	if (done > 0 && src && cpu_copy_nofault((void *)at, src, len) != 0)
		done = -EFAULT;
	if (done > 0 && !src)
		memset((void *)at, 0, len);
	if (done > 0 && sys_mprotect((uint64_t)at, len, PROT_NONE) != 0)
		done = 0;
	if (done <= 0)
		sys_munmap((uint64_t)at, len);
	*made = (uint64_t)at;
	return done;
}

/*
 * To write a closed page by way of the host takes several times as long. The mapping that the page
 * comes in shows the same part of the same file, so that nothing is different when it is dropped.
 */
long huge_put(const struct mach_span *span, uint64_t page, const void *src)
{
	struct host_map *hm = host_map_of(span->map);
	uint64_t len = 1ull << HUGE_SHIFT, made;
	long done, at;

	if (!atomic_load(&hm->replaceable) || page % HUGE_PAGES != 0 || !claim_apart(hm, page))
		return 0;
	done = make_page(span, page, src, &made);
	if (done <= 0)
		return done;
	at = sys_mremap(made, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, span_addr(span, page));
	if (!sys_failed(at))
		return done;
	sys_munmap(made, len);
	return 0;
}
