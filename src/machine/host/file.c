/*
 * file.c - the files that maps in place show: one record each, how long they are, what is in them.
 *
 * What is in a file is asked of the host each time: others change it behind our back. Of ordinary
 * pages the host tells by cachestat, by mincore on a mapping, or by SEEK_DATA, which knows pages
 * that are swapped out but not those that are only reserved; of huge pages see hugetlb.c.
 */
#include <sys/sysinfo.h>

#include "machine/host/internal.h"

/* Up to so many pages SEEK_DATA is no slower, whatever lies where. */
#define SEEK_PAGES 8

/* How often a page that comes from swap is looked for. */
#define SWAP_LOOKS 64

static struct mach_lock files_lock;
static uf_ref files;
static struct mach_lock groups[HOST_FILE_GROUPS];

void host_file_after_fork(void)
{
	atomic_store(&files_lock.word, 0);
	/* The position is the parent's, too. */
	for (struct host_file *f = arena_at(files); f; f = arena_at(f->next))
		f->ours = false;
	for (unsigned i = 0; i < HOST_FILE_GROUPS; i++)
		atomic_store(&groups[i].word, 0);
}

/* ---- Records ---- */

/* A private mapping writes only to take out again what its own copies made in the file. */
static bool wants_write(const struct mach_vma *vma)
{
	if (vma->shared)
		return vma->maywrite;
	return vma->kind == MACH_VMA_SHMEM || vma->kind == MACH_VMA_HUGETLB;
}

/* files_lock held. */
static struct host_file *known_file(const struct mach_vma *vma, bool write)
{
	struct host_file *f;

	for (f = arena_at(files); f; f = arena_at(f->next)) {
		if (f->dev == vma->dev && f->ino == vma->ino && f->write == write) {
			atomic_fetch_add(&f->maps, 1);
			return f;
		}
	}
	return NULL;
}

/* What the front makes where a program asks for private anonymous memory in huge pages. */
static bool stands_for_nothing(uint64_t addr)
{
	struct mach_vma vma = {0};
	struct vma_raw raw;

	return vma_raw_next(addr, &vma, &raw) == 0 && host_begins(raw.name, "/memfd:anon_hugepage");
}

/*
 * Where the host gives memory files large pages by itself, a file's preferred size of a write says
 * so. Without a descriptor nobody knows.
 */
static bool gets_large_pages(const struct host_file *f)
{
	struct stat st;

	if (f->shift != UF_PAGE_SHIFT || !(f->kind == MACH_VMA_SHMEM || f->huge))
		return false;
	return f->fd < 0 || sys_fstat(f->fd, &st) != 0 || (uint64_t)st.st_blksize > UF_PAGE_SIZE;
}

static struct host_file *new_file(uint64_t addr, const struct mach_vma *vma, bool write)
{
	struct host_file *f = arena_alloc(sizeof(*f));

	if (!f)
		return NULL;
	f->dev = vma->dev;
	f->ino = vma->ino;
	f->kind = vma->kind;
	f->write = write;
	f->huge = vma->kind == MACH_VMA_HUGETLB && note_is_huge(vma->dev, vma->ino);
	f->nobodys = f->huge && !vma->shared && stands_for_nothing(addr);
	f->shift = f->huge ? UF_PAGE_SHIFT : vma->page_shift;
	f->fd = find_descriptor(addr, vma, write, &f->ours);
	host_keep_hidden(f->fd);
	f->grows_large = gets_large_pages(f);
	atomic_store(&f->makes_pages,
		     f->fd >= 0 && write && !f->grows_large && f->shift == UF_PAGE_SHIFT &&
			     f->kind != MACH_VMA_GMEM && f->kind != MACH_VMA_SECRET);
	atomic_store(&f->maps, 1);
	return f;
}

static void free_file(struct host_file *f)
{
	host_close_hidden(f->fd);
	if (f->known)
		arena_free(f->known, f->known_pages / 8);
	made_free(f);
	arena_free(f, sizeof(*f));
}

struct host_file *host_file_get(uint64_t addr, const struct mach_vma *vma)
{
	bool write = wants_write(vma);
	struct host_file *f, *fresh;

	mach_lock(&files_lock);
	f = known_file(vma, write);
	mach_unlock(&files_lock);
	if (f)
		return f;
	fresh = new_file(addr, vma, write);
	if (!fresh)
		return NULL;
	mach_lock(&files_lock);
	f = known_file(vma, write);
	if (!f) {
		fresh->next = files;
		files = arena_ref(fresh);
	}
	mach_unlock(&files_lock);
	if (f)
		free_file(fresh);
	return f ? f : fresh;
}

struct host_file *host_file_hold(struct host_file *f)
{
	atomic_fetch_add(&f->maps, 1);
	return f;
}

void host_file_put(struct host_file *f)
{
	struct host_file *prev = NULL;
	bool last;

	mach_lock(&files_lock);
	last = atomic_fetch_sub(&f->maps, 1) == 1;
	if (last) {
		for (struct host_file *x = arena_at(files); x != f; x = arena_at(x->next))
			prev = x;
		if (prev)
			prev->next = f->next;
		else
			files = f->next;
	}
	mach_unlock(&files_lock);
	if (last)
		free_file(f);
}

/* ---- Groups ---- */

/* Of records that are about one file, and apart only in how it was opened, the locks are the same.
 */
static struct mach_lock *group_of(const struct mach_map *map, uint64_t page)
{
	const struct host_file *f = file_of(map);
	uint64_t group = (map->file_page + page) / HUGE_PAGES;

	return &groups[(f->dev ^ f->ino ^ group) % HOST_FILE_GROUPS];
}

uint64_t host_file_group(const struct mach_map *map, uint64_t page, uint64_t n)
{
	uint64_t room = HUGE_PAGES - (map->file_page + page) % HUGE_PAGES;

	return n < room ? n : room;
}

void host_file_lock(const struct mach_map *map, uint64_t page)
{
	mach_lock(group_of(map, page));
}

void host_file_unlock(const struct mach_map *map, uint64_t page)
{
	mach_unlock(group_of(map, page));
}

/* ---- Size ---- */

/* To move to the end is the cheaper question, where nobody else uses the position. */
static uint64_t size_of(const struct host_file *f)
{
	struct stat st;
	long end;

	if (f->ours && f->shift == UF_PAGE_SHIFT && f->kind != MACH_VMA_GMEM) {
		end = sys_lseek(f->fd, 0, SEEK_END);
		if (end >= 0)
			return (uint64_t)end;
	}
	return sys_fstat(f->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

uint64_t host_file_room(const struct host_file *f, uint64_t from, bool *part)
{
	uint64_t size, pages;

	*part = false;
	if (f->fd < 0)
		return UINT64_MAX;
	size = size_of(f);
	pages = (size + UF_PAGE_SIZE - 1) >> UF_PAGE_SHIFT;
	*part = size % UF_PAGE_SIZE != 0;
	return pages > from ? pages - from : 0;
}

/* ---- What is there ---- */

static void set_run(uint64_t *bits, uint64_t from, uint64_t end)
{
	for (uint64_t i = from; i < end; i++)
		bits[i / 64] |= 1ull << (i % 64);
}

static bool seeks(const struct host_file *f)
{
	return f->fd >= 0 && f->ours &&
	       (f->kind == MACH_VMA_SHMEM || f->kind == MACH_VMA_FILE || f->huge);
}

/*
 * Adds to what is known. On tmpfs the way to the next hole leads over every page before it, however
 * far that is: there each page is asked for by itself.
 */
static void look_by_seeking(const struct host_file *f, uint64_t first, uint64_t n, uint64_t *bits)
{
	for (uint64_t i = 0, end; i < n; i = end) {
		long data, hole = -1;

		end = i + 1;
		if (bits[i / 64] >> (i % 64) & 1)
			continue;
		data = sys_lseek(f->fd, (first + i) << UF_PAGE_SHIFT, SEEK_DATA);
		if (data < 0 || (uint64_t)data >= (first + n) << UF_PAGE_SHIFT)
			return;
		i = ((uint64_t)data >> UF_PAGE_SHIFT) - first;
		end = i + 1;
		if (f->kind == MACH_VMA_FILE && n > SEEK_PAGES)
			hole = sys_lseek(f->fd, (uint64_t)data, SEEK_HOLE);
		if (hole > data)
			end = (((uint64_t)hole + UF_PAGE_SIZE - 1) >> UF_PAGE_SHIFT) - first;
		if (end > n)
			end = n;
		set_run(bits, i, end);
	}
}

static bool host_swaps(void)
{
	struct sysinfo info;

	return sys1(SYS_sysinfo, (long)&info) == 0 && info.totalswap != 0;
}

static uint64_t look_by_mincore(uint64_t addr, uint64_t n, uint64_t *bits)
{
	uint8_t core[HUGE_PAGES];
	uint64_t found = 0;

	if (sys_mincore(addr, n << UF_PAGE_SHIFT, core) != 0)
		return 0;
	for (uint64_t i = 0; i < n; i++) {
		bits[i / 64] |= (uint64_t)(core[i] & 1) << (i % 64);
		found += core[i] & 1;
	}
	return found;
}

/*
 * What stands in swap is brought where mincore sees it; nothing is made where there is a hole. It
 * is seen when it has been read.
 */
static void look_in_swap(uint64_t addr, uint64_t n, uint64_t *bits)
{
	uint64_t before = 0, found;

	sys_madvise(addr, n << UF_PAGE_SHIFT, MADV_WILLNEED);
	for (unsigned i = 0; i < SWAP_LOOKS; i++) {
		found = look_by_mincore(addr, n, bits);
		if (found == n || (i > 0 && found > before))
			return;
		before = found;
		sys_yield();
	}
}

/* ---- By counting ---- */

static _Atomic bool no_counting;

/*
 * How many of these pages the file has: in memory, in swap, or reserved and not used yet.
 * UINT64_MAX: the host does not say (before Linux 6.5).
 */
static uint64_t count_pages(const struct host_file *f, uint64_t first, uint64_t n)
{
	const struct sys_cachestat_range range = {first << UF_PAGE_SHIFT, n << UF_PAGE_SHIFT};
	struct sys_cachestat stat;
	int err;

	if (f->fd < 0 || !(f->kind == MACH_VMA_SHMEM || f->huge) ||
	    atomic_load_explicit(&no_counting, memory_order_relaxed))
		return UINT64_MAX;
	err = sys_cachestat(f->fd, &range, &stat);
	if (err == -ENOSYS)
		atomic_store(&no_counting, true);
	return err ? UINT64_MAX : stat.cache + stat.evicted;
}

/* The pages of a range of which `count` are there, by halves: ranges that are alike cost one call.
 */
static void split_count(const struct host_file *f, uint64_t first, uint64_t n, uint64_t count,
			uint64_t base, uint64_t *bits)
{
	uint64_t half = n / 2, left;

	if (count == 0)
		return;
	if (count >= n) {
		set_run(bits, first - base, first - base + n);
		return;
	}
	left = count_pages(f, first, half);
	split_count(f, first, half, left < count ? left : count, base, bits);
	split_count(f, first + half, n - half, left < count ? count - left : 0, base, bits);
}

/* How many pages in such a range may be looked for by halves. */
#define FEW 8

/*
 * Counting is the cheapest, and knows most; where some are there and some not, another way says
 * which, unless it does not see all of them.
 */
void host_file_look_pages(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t *bits)
{
	const struct mach_map *map = span->map;
	const struct host_file *f = file_of(map);
	uint64_t addr = map->alias ? map->alias + (page << UF_PAGE_SHIFT)
				   : (span->addr ? span_addr(span, page) : 0);
	uint64_t first = map->file_page + page, count = count_pages(f, first, n), found = 0;

	memset(bits, 0, (n + 63) / 64 * 8);
	if (count == 0)
		return;
	if (count != UINT64_MAX && (count >= n || count < FEW)) {
		split_count(f, first, n, count, first, bits);
		return;
	}
	if (seeks(f) &&
	    (n <= SEEK_PAGES || f->kind == MACH_VMA_FILE || map->alias == 0 || host_swaps()))
		look_by_seeking(f, first, n, bits);
	else if (addr != 0 && look_by_mincore(addr, n, bits) < n && f->fd < 0 && host_swaps())
		look_in_swap(addr, n, bits);
	for (uint64_t i = 0; i < (n + 63) / 64; i++)
		found += count_bits(bits[i]);
	if (count != UINT64_MAX && found != count) {
		memset(bits, 0, (n + 63) / 64 * 8);
		split_count(f, first, n, count, first, bits);
	}
}

/*
 * Parts that a private mapping finds in the file, but not all of them, and without contents, came
 * of somebody's private use of them, which makes no huge page in the file.
 */
static bool left_over(const struct mach_span *span, uint64_t page, uint64_t n, const uint64_t *bits)
{
	const struct host_file *f = file_of(span->map);
	uint64_t found = 0;

	if (span->map->kind != MACH_MAP_PRIVATE || f->fd < 0)
		return false;
	for (uint64_t i = 0; i < n; i++) {
		if (!(bits[i / 64] >> (i % 64) & 1))
			continue;
		if (!fill_still_zero(f, span->map->file_page + page + i))
			return false;
		found++;
	}
	return found < n;
}

/* Of memory that is taken for a huge page any part makes all of it be there. */
static void look_emulated(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t *bits)
{
	uint64_t whole[HUGE_PAGES / 64] = {0}, any = 0;
	uint64_t off = (span->map->file_page + page) % HUGE_PAGES;
	uint64_t first = page >= off ? page - off : 0, last = first + HUGE_PAGES;

	if (last > span->map->npages)
		last = span->map->npages;
	host_file_look_pages(span, first, last - first, whole);
	made_leave_out(span, first, last - first, whole);
	for (unsigned i = 0; i < HUGE_PAGES / 64; i++)
		any |= whole[i];
	if (any && !left_over(span, first, last - first, whole))
		set_run(bits, 0, n);
}

void host_file_look(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t *bits)
{
	const struct host_file *f = file_of(span->map);

	memset(bits, 0, (n + 63) / 64 * 8);
	if (f->nobodys)
		return;
	if (f->shift > UF_PAGE_SHIFT) {
		if (huge_look(span, page))
			set_run(bits, 0, n);
	} else if (f->huge) {
		look_emulated(span, page, n, bits);
	} else {
		host_file_look_pages(span, page, n, bits);
		made_leave_out(span, page, n, bits);
	}
}

uint64_t host_file_run(const struct mach_span *span, uint64_t page, uint64_t n, bool there)
{
	uint64_t bits[HUGE_PAGES / 64], run = 0;

	host_file_look(span, page, n, bits);
	while (run < n && (bits[run / 64] >> (run % 64) & 1) == there)
		run++;
	return run;
}

/* The bits of part of a range, which begins anywhere in a word. */
static void put_bits(uint64_t *bits, uint64_t at, const uint64_t *part, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		if (part[i / 64] >> (i % 64) & 1)
			bits[(at + i) / 64] |= 1ull << ((at + i) % 64);
	}
}

uint64_t mach_file_lookup(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t *bits)
{
	const struct host_file *f = file_of(span->map);
	uint64_t part[HUGE_PAGES / 64], there = 0, room;
	bool ends;

	memset(bits, 0, (n + 63) / 64 * 8);
	for (uint64_t done = 0, run; done < n; done += run) {
		run = host_file_group(span->map, page + done, n - done);
		host_file_lock(span->map, page + done);
		host_file_look(span, page + done, run, part);
		host_file_unlock(span->map, page + done);
		put_bits(bits, done, part, run);
	}
	for (unsigned i = 0; i < (n + 63) / 64; i++)
		there += count_bits(bits[i]);
	if (there == n)
		return n;
	room = host_file_room(f, span->map->file_page + page, &ends);
	return room < n ? room : n;
}

/* ---- Holes ---- */

int host_file_unmake(const struct mach_map *map, uint64_t page, uint64_t n)
{
	const struct host_file *f = file_of(map);
	uint64_t off = (map->file_page + page) << UF_PAGE_SHIFT, len = n << UF_PAGE_SHIFT;
	int err = -EBADF;

	if (f->fd >= 0)
		err = sys_fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len);
	if (err != 0 && map->alias)
		err = sys_madvise(map->alias + (page << UF_PAGE_SHIFT), len, MADV_REMOVE);
	if (f->shift > UF_PAGE_SHIFT)
		huge_note(file_of(map), map->file_page + page, n, false);
	return err;
}

int mach_file_punch(const struct mach_span *span, uint64_t page, uint64_t n)
{
	struct mach_map *map = span->map;
	int err = 0;

	if (map->kind == MACH_MAP_FRAMES)
		return -EINVAL;
	if (map->kind == MACH_MAP_PRIVATE)
		return -EACCES;
	for (uint64_t done = 0, run; !err && done < n; done += run) {
		uint64_t at = page + done;

		run = host_file_group(map, at, n - done);
		host_file_lock(map, at);
		err = sys_madvise(map->alias + (at << UF_PAGE_SHIFT), run << UF_PAGE_SHIFT,
				  MADV_REMOVE);
		if (err == 0 && file_of(map)->shift > UF_PAGE_SHIFT)
			huge_note(file_of(map), map->file_page + at, run, false);
		host_file_unlock(map, at);
	}
	return err;
}
