/*
 * frames.c - the contents of pages: one sparse memory file, seen through hidden aliases.
 *
 * The file is cut into windows; each has one mapping, the alias of all its pages. A map gets an
 * extent of pages inside one window. Four bits a page say what the file has there:
 *
 *   warm   a frame exists. To fill a frame that exists costs a copy; to make one, ten times that.
 *   idle   warm, and nobody needs its contents: dropped, or its map is gone.
 *   maybe  nobody made a frame through us, but the program may have, by touching the open hole.
 *
 *   seen   the alias has had the frame mapped: a copy through it needs no fault (a hint).
 *
 * A page with neither warm nor maybe is a hole and reads as zero. At most host.warm_limit frames
 * stay idle; beyond it a clock hand punches holes, some at a time.
 */
#include "machine/host/internal.h"
#include "machine/host/swap.h"

#define WINDOWS_MAX 256
/* Windows grow, so that a small program has small bitmaps and a large one few windows. */
#define WINDOW_FIRST ((uint64_t)256 << (20 - UF_PAGE_SHIFT))
#define WINDOW_MOST  ((uint64_t)16 << (30 - UF_PAGE_SHIFT))
#define FILE_PAGES   ((uint64_t)1 << (52 - UF_PAGE_SHIFT))
#define ALIGN_PAGES  ((uint64_t)512)

#define EXTENTS_MAX ((uint32_t)1 << 18)

/* How much one drop may punch: many calls, or many pages, keep a fault waiting. */
#define PUNCH_CALLS 64
#define PUNCH_PAGES 4096

/* From this many on, frames are mapped in the alias at once. */
#define POPULATE_PAGES 16

struct window {
	uint64_t start, npages; /* in the file */
	uint64_t alias;
	_Atomic uint64_t *warm, *idle, *maybe, *seen;
};

struct extent {
	uint64_t start, npages;
};

/* An extent whose map is gone from here, but not from children. */
struct lent {
	uint64_t start, npages;
	uint32_t since;
	uf_ref next;
};

/* How many of those are looked at when another extent is wanted. */
#define LENT_LOOKS 8

/* Files of parents, as long as maps of theirs are here. Numbers from 1 on. */
#define INHERITED_MAX 1024

static struct inherited {
	int fd;
	uint32_t maps;
} inherited[INHERITED_MAX];

static uf_ref lent; /* list */

static struct mach_lock lock;
static struct window windows[WINDOWS_MAX];
static uint32_t window_count;
static uint64_t file_used;   /* pages that windows cover */
static struct extent *holes; /* free extents, sorted, joined */
static uint32_t hole_count;
static _Atomic uint64_t idle_pages;
static struct mach_lock punch_lock;
static uint32_t hand_window;
static uint64_t hand_word;

/* A child needs it as well: it may be the only descriptor of what the child inherits. */
static int make_file(void)
{
	host.frames_fd = host_memory_file("userfault-frames", FILE_PAGES << UF_PAGE_SHIFT);
	host_keep_hidden(host.frames_fd);
	return host.frames_fd < 0 ? host.frames_fd : 0;
}

int frames_init(void)
{
	long at = host_map_private(EXTENTS_MAX * sizeof(*holes), PROT_READ | PROT_WRITE);

	if (sys_failed(at))
		return (int)at;
	holes = (struct extent *)at;
	return make_file();
}

uint64_t frames_idle(void)
{
	return atomic_load_explicit(&idle_pages, memory_order_relaxed);
}

/* ---- Bits ---- */

static uint64_t word_mask(uint64_t bit, uint64_t n)
{
	return (n >= 64 ? ~0ull : (1ull << n) - 1) << bit;
}

/* Of [bit, bit + n), what lies in the first word; at most 64. */
static uint64_t in_word(uint64_t bit, uint64_t n)
{
	uint64_t room = 64 - bit % 64;

	return n < room ? n : room;
}

static void set_bits(_Atomic uint64_t *map, uint64_t bit, uint64_t n)
{
	for (uint64_t k; n > 0; bit += k, n -= k) {
		uint64_t mask;

		k = in_word(bit, n);
		mask = word_mask(bit % 64, k);
		if ((atomic_load_explicit(&map[bit / 64], memory_order_relaxed) & mask) != mask)
			atomic_fetch_or(&map[bit / 64], mask);
	}
}

static bool all_bits(_Atomic uint64_t *map, uint64_t bit, uint64_t n)
{
	for (uint64_t k; n > 0; bit += k, n -= k) {
		uint64_t mask;

		k = in_word(bit, n);
		mask = word_mask(bit % 64, k);
		if ((atomic_load_explicit(&map[bit / 64], memory_order_relaxed) & mask) != mask)
			return false;
	}
	return true;
}

static void clear_bits(_Atomic uint64_t *map, uint64_t bit, uint64_t n)
{
	for (uint64_t k; n > 0; bit += k, n -= k) {
		uint64_t mask;

		k = in_word(bit, n);
		mask = word_mask(bit % 64, k);
		if (atomic_load_explicit(&map[bit / 64], memory_order_relaxed) & mask)
			atomic_fetch_and(&map[bit / 64], ~mask);
	}
}

/* ---- Extents ---- */

static struct window *window_of(const struct mach_map *map)
{
	return &windows[map->flags];
}

static uint64_t window_size(uint64_t npages)
{
	uint64_t size = window_count < 6 ? WINDOW_FIRST << window_count : WINDOW_MOST;

	return npages > size ? npages : size;
}

static int add_window(uint64_t npages)
{
	struct window *w = &windows[window_count];
	uint64_t words, size = window_size(npages);
	long at;

	if (window_count == WINDOWS_MAX)
		return -ENOMEM;
	do {
		size = (size + ALIGN_PAGES - 1) & ~(ALIGN_PAGES - 1);
		at = host_map_sparse(0, size << UF_PAGE_SHIFT, host.frames_fd,
				     file_used << UF_PAGE_SHIFT);
		size /= 2;
	} while (sys_failed(at) && size >= npages);
	if (sys_failed(at))
		return -ENOMEM;
	size *= 2;
	words = (size + 63) / 64 * 8;
	w->warm = arena_alloc(4 * words);
	if (!w->warm) {
		sys_munmap((uint64_t)at, size << UF_PAGE_SHIFT);
		return -ENOMEM;
	}
	w->idle = w->warm + words / 8;
	w->maybe = w->idle + words / 8;
	w->seen = w->maybe + words / 8;
	sys_madvise((uint64_t)at, size << UF_PAGE_SHIFT, MADV_DONTFORK);
	w->start = file_used;
	w->npages = size;
	w->alias = (uint64_t)at;
	file_used += size;
	holes[hole_count++] = (struct extent){w->start, size};
	window_count++;
	return 0;
}

static uint32_t window_at(uint64_t page)
{
	uint32_t i = 0;

	while (page >= windows[i].start + windows[i].npages)
		i++;
	return i;
}

/* The smallest hole that is large enough, and in it the lowest place: what was used last is warm.
 */
static bool take_hole(uint64_t npages, uint64_t *start)
{
	uint32_t best = hole_count;

	for (uint32_t i = 0; i < hole_count; i++) {
		if (holes[i].npages >= npages &&
		    (best == hole_count || holes[i].npages < holes[best].npages))
			best = i;
	}
	if (best == hole_count)
		return false;
	*start = holes[best].start;
	holes[best].start += npages;
	holes[best].npages -= npages;
	if (holes[best].npages == 0) {
		memmove(&holes[best], &holes[best + 1], (hole_count - best - 1) * sizeof(*holes));
		hole_count--;
	}
	return true;
}

static bool same_window(uint64_t a, uint64_t b)
{
	return window_at(a) == window_at(b);
}

static void put_hole(uint64_t start, uint64_t npages)
{
	uint32_t i = 0;

	while (i < hole_count && holes[i].start < start)
		i++;
	if (i < hole_count && holes[i].start == start + npages &&
	    same_window(start, holes[i].start)) {
		holes[i].start = start;
		holes[i].npages += npages;
	} else {
		memmove(&holes[i + 1], &holes[i], (hole_count - i) * sizeof(*holes));
		holes[i] = (struct extent){start, npages};
		hole_count++;
	}
	if (i > 0 && holes[i - 1].start + holes[i - 1].npages == start &&
	    same_window(holes[i - 1].start, start)) {
		holes[i - 1].npages += holes[i].npages;
		memmove(&holes[i], &holes[i + 1], (hole_count - i - 1) * sizeof(*holes));
		hole_count--;
	}
}

/* ---- Extents that children still have ---- */

/* Lock held. Of this part of a file nothing is needed any more. */
static void free_extent(uint64_t start, uint64_t npages)
{
	struct mach_map gone = {.extent = start, .npages = npages, .flags = window_at(start)};

	frames_drop(&gone, 0, npages);
	put_hole(start, npages);
}

/* Without memory to remember it the extent is lost. */
static void lend(const struct mach_map *map, uint32_t since)
{
	struct lent *l = arena_alloc(sizeof(*l));

	if (!l)
		return;
	*l = (struct lent){map->extent, map->npages, since, 0};
	mach_lock(&lock);
	l->next = lent;
	lent = arena_ref(l);
	mach_unlock(&lock);
}

/* Lock held. Take back the first of those lent that no child has any more. */
static struct lent *take_back(void)
{
	uf_ref *link = &lent;

	for (unsigned i = 0; i < LENT_LOOKS && *link != 0; i++) {
		struct lent *l = arena_at(*link);

		if (!fork_children(l->since)) {
			*link = l->next;
			free_extent(l->start, l->npages);
			return l;
		}
		link = &l->next;
	}
	return NULL;
}

static void take_back_lent(void)
{
	struct lent *l;

	do {
		mach_lock(&lock);
		l = lent ? take_back() : NULL;
		mach_unlock(&lock);
		arena_free(l, sizeof(*l));
	} while (l);
}

/* ---- Extents of maps ---- */

int frames_reserve(struct mach_map *map, uint64_t npages)
{
	uint64_t start = 0;
	int err = 0;

	if (lent != 0)
		take_back_lent();
	mach_lock(&lock);
	if (hole_count + 2 > EXTENTS_MAX)
		err = -ENOMEM;
	else if (!take_hole(npages, &start)) {
		err = add_window(npages);
		if (err == 0)
			take_hole(npages, &start);
	}
	if (err == 0) {
		struct window *w;

		map->flags = window_at(start);
		w = window_of(map);
		map->extent = start;
		map->alias = w->alias + ((start - w->start) << UF_PAGE_SHIFT);
	}
	mach_unlock(&lock);
	return err;
}

static void let_go(struct inherited *file)
{
	if (--file->maps == 0) {
		host_close_hidden(file->fd);
		file->fd = -1;
	}
}

void frames_release(struct mach_map *map)
{
	const struct host_map *hm = host_map_of(map);

	if (hm->file != 0) {
		mach_lock(&lock);
		let_go(&inherited[hm->file]);
		mach_unlock(&lock);
	} else if (atomic_load(&hm->share) != MAP_OWN && fork_children(hm->since)) {
		lend(map, hm->since);
	} else {
		mach_lock(&lock);
		free_extent(map->extent, map->npages);
		mach_unlock(&lock);
	}
}

bool frames_own(uint64_t addr, uint64_t len)
{
	for (uint32_t i = 0; i < window_count; i++) {
		const struct window *w = &windows[i];

		if (addr < w->alias + (w->npages << UF_PAGE_SHIFT) && w->alias < addr + len)
			return true;
	}
	return false;
}

int frames_file(const struct host_map *hm)
{
	return hm->file == 0 ? host.frames_fd : inherited[hm->file].fd;
}

int frames_read_frozen(const struct mach_map *map, uint64_t page, void *buf)
{
	return sys_pread(frames_file(host_map_of(map)), buf, UF_PAGE_SIZE,
			 (map->extent + page) << UF_PAGE_SHIFT) == UF_PAGE_SIZE
		       ? 0
		       : -EFAULT;
}

/*
 * Without a free number the descriptor is nobody's, and the maps cannot be changed. It also tells
 * the parent that its swap store is read here.
 */
static void inherit_maps(int fd)
{
	uint32_t i = 1;

	while (i < INHERITED_MAX - 1 && inherited[i].maps != 0)
		i++;
	for (struct host_map *hm = arena_at(registry.maps); hm; hm = arena_at(hm->next)) {
		if (hm->in_place || hm->file != 0)
			continue;
		hm->file = i;
		inherited[i].maps++;
	}
	if (inherited[i].maps > 0)
		inherited[i].fd = fd;
	else if (!swap_inherited())
		host_close_hidden(fd);
}

/* The parent's windows were not inherited; make a file of our own. */
void frames_after_fork(int fd, bool shares_files)
{
	inherit_maps(fd);
	memset(windows, 0, sizeof(windows));
	window_count = 0;
	file_used = 0;
	hole_count = 0;
	hand_window = 0;
	hand_word = 0;
	lent = 0;
	atomic_store(&idle_pages, 0);
	atomic_store(&lock.word, 0);
	atomic_store(&punch_lock.word, 0);
	if (!shares_files)
		host_close_hidden(host.frames_fd);
	make_file();
}

/* ---- Idle frames ---- */

static void punch(struct window *w, uint64_t bit, uint64_t n)
{
	sys_fallocate(host.frames_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (w->start + bit) << UF_PAGE_SHIFT, n << UF_PAGE_SHIFT);
	clear_bits(w->seen, bit, n);
	clear_bits(w->warm, bit, n);
}

/*
 * Claim the idle frames of one word and punch them. A claimed frame is warm and not idle until the
 * hole is there; a filler that finds it so waits for punch_lock (see claim_run).
 */
static uint64_t punch_word(struct window *w, uint64_t word, unsigned *calls)
{
	uint64_t bits = atomic_exchange(&w->idle[word], 0), total = 0;

	while (bits != 0) {
		unsigned from = (unsigned)__builtin_ctzll(bits), n;
		uint64_t rest = ~(bits >> from);

		n = rest ? (unsigned)__builtin_ctzll(rest) : 64;
		if (from + n > 64)
			n = 64 - from;
		punch(w, word * 64 + from, n);
		bits &= ~word_mask(from, n);
		total += n;
		++*calls;
	}
	return total;
}

static void trim_idle(void)
{
	uint64_t done = 0, want = frames_idle() - host.warm_limit + host.warm_limit / 16;
	uint64_t seen = 0;
	uint32_t free = 0;
	unsigned calls = 0;

	if (want > PUNCH_PAGES)
		want = PUNCH_PAGES;
	if (!atomic_compare_exchange_strong(&punch_lock.word, &free, 1))
		return;
	while (done < want && calls < PUNCH_CALLS && seen <= window_count) {
		struct window *w = &windows[hand_window];

		if (hand_word * 64 >= w->npages) {
			hand_window = (hand_window + 1) % window_count;
			hand_word = 0;
			seen++;
			continue;
		}
		if (atomic_load_explicit(&w->idle[hand_word], memory_order_relaxed) != 0)
			done += punch_word(w, hand_word, &calls);
		hand_word++;
	}
	mach_unlock(&punch_lock);
	atomic_fetch_sub(&idle_pages, done);
}

static void punch_range(struct window *w, uint64_t bit, uint64_t n)
{
	mach_lock(&punch_lock);
	clear_bits(w->maybe, bit, n);
	clear_bits(w->idle, bit, n);
	punch(w, bit, n);
	mach_unlock(&punch_lock);
}

void frames_drop(const struct mach_map *map, uint64_t page, uint64_t n)
{
	struct window *w = window_of(map);
	uint64_t bit = map->extent - w->start + page, added = 0;

	for (uint64_t k; n > 0; bit += k, n -= k) {
		uint64_t mask, gone, had;

		k = in_word(bit, n);
		mask = word_mask(bit % 64, k);
		gone = atomic_load_explicit(&w->maybe[bit / 64], memory_order_relaxed) & mask;
		if (gone != 0) {
			atomic_fetch_or(&w->warm[bit / 64], gone);
			atomic_fetch_and(&w->maybe[bit / 64], ~gone);
		}
		gone = atomic_load(&w->warm[bit / 64]) & mask;
		if (gone == 0)
			continue;
		had = atomic_fetch_or(&w->idle[bit / 64], gone);
		added += count_bits(gone & ~had);
	}
	if (added != 0 && atomic_fetch_add(&idle_pages, added) + added > host.warm_limit)
		trim_idle();
}

/* ---- Filling ---- */

/*
 * Take pages from `page` on, as many of the n as are alike, out of the idle ones: they are about to
 * be filled. *warm: they have frames. Returns how many.
 */
static uint64_t claim_run(struct window *w, uint64_t bit, uint64_t n, bool *warm)
{
	uint64_t done = 0;

	for (uint64_t k; done < n; done += k) {
		uint64_t at = bit + done, mask, has, idle;

		k = in_word(at, n - done);
		mask = word_mask(at % 64, k);
		idle = atomic_load_explicit(&w->idle[at / 64], memory_order_relaxed) & mask;
		if (idle != 0) {
			idle &= atomic_fetch_and(&w->idle[at / 64], ~idle);
			atomic_fetch_sub(&idle_pages, count_bits(idle));
		}
		has = atomic_load(&w->warm[at / 64]) & mask;
		if (has & ~idle) {
			/* In use, or just being punched: after the lock the bits tell. */
			mach_lock(&punch_lock);
			has = atomic_load(&w->warm[at / 64]) & mask;
			mach_unlock(&punch_lock);
		}
		has |= atomic_load_explicit(&w->maybe[at / 64], memory_order_relaxed) & mask;
		if (done == 0)
			*warm = has >> (at % 64) & 1;
		has = (*warm ? ~has : has) & mask;
		if (has != 0) {
			done += (uint64_t)__builtin_ctzll(has) - at % 64;
			break;
		}
	}
	return done;
}

/*
 * pwrite makes and fills frames without zeroing them first and without a fault in the alias; but it
 * minds RLIMIT_FSIZE, which the program may have set.
 */
static bool may_write(uint64_t end)
{
	struct rlimit lim;

	return sys_rlimit(RLIMIT_FSIZE, NULL, &lim) != 0 || lim.rlim_cur >= end;
}

/* Where the alias shows a page; many frames at once are mapped in one go, not by a fault each. */
static char *alias_of(const struct mach_map *map, struct window *w, uint64_t page, uint64_t n)
{
	uint64_t bit = map->extent - w->start + page, addr = map->alias + (page << UF_PAGE_SHIFT);

	if (!all_bits(w->seen, bit, n)) {
		if (n >= POPULATE_PAGES)
			sys_madvise(addr, n << UF_PAGE_SHIFT, MADV_POPULATE_READ);
		set_bits(w->seen, bit, n);
	}
	return (char *)addr;
}

static long copy_run(const struct mach_map *map, struct window *w, uint64_t page, uint64_t n,
		     bool warm, uint64_t src)
{
	uint64_t bit = map->extent - w->start + page, len = n << UF_PAGE_SHIFT;
	uint64_t off = (map->extent + page) << UF_PAGE_SHIFT;
	long got;

	if (warm || !may_write(off + len)) {
		size_t left = cpu_copy_nofault(alias_of(map, w, page, n), (const void *)src, len);

		got = (long)(len - left);
	} else {
		got = sys_pwrite(host.frames_fd, (const void *)src, len, off);
		if (got < 0 && got != -EFAULT)
			return got;
		if (got < 0)
			got = 0;
	}
	set_bits(w->warm, bit, ((uint64_t)got + UF_PAGE_SIZE - 1) >> UF_PAGE_SHIFT);
	clear_bits(w->maybe, bit, (uint64_t)got >> UF_PAGE_SHIFT);
	return got >> UF_PAGE_SHIFT;
}

/* In pieces: a claim takes pages out of the idle ones, and those not filled are put back. */
long frames_copy(const struct mach_map *map, uint64_t page, uint64_t n, uint64_t src)
{
	struct window *w = window_of(map);
	uint64_t done = 0;

	while (done < n) {
		uint64_t bit = map->extent - w->start + page + done, run;
		bool warm = false;
		long got;

		run = claim_run(w, bit, n - done, &warm);
		got = copy_run(map, w, page + done, run, warm, src + (done << UF_PAGE_SHIFT));
		if (got == (long)run) {
			done += run;
			continue;
		}
		if (got > 0)
			done += (uint64_t)got;
		frames_drop(map, page + done, run - (got > 0 ? (uint64_t)got : 0));
		if (done == 0)
			return got < 0 ? got : -EFAULT;
		break;
	}
	return (long)done;
}

void frames_zero(const struct mach_map *map, uint64_t page, uint64_t n)
{
	struct window *w = window_of(map);

	while (n > 0) {
		uint64_t bit = map->extent - w->start + page, run;
		bool warm = false;

		run = claim_run(w, bit, n, &warm);
		if (!warm) {
			set_bits(w->maybe, bit, run);
		} else if (run >= PUNCH_PAGES) {
			punch_range(w, bit, run);
			set_bits(w->maybe, bit, run);
		} else {
			memset(alias_of(map, w, page, run), 0, run << UF_PAGE_SHIFT);
			set_bits(w->warm, bit, run);
			clear_bits(w->maybe, bit, run);
		}
		page += run;
		n -= run;
	}
}

/* What was copied goes again when not all can be: then src is as it was. */
int frames_move(const struct mach_map *dst, uint64_t dpage, const struct mach_map *src,
		uint64_t spage, uint64_t n)
{
	struct window *sw = window_of(src);
	uint64_t done = 0;

	while (done < n) {
		uint64_t bit = src->extent - sw->start + spage + done, run, has, differs;
		long got;

		run = in_word(bit, n - done);
		has = atomic_load(&sw->warm[bit / 64]) | atomic_load(&sw->maybe[bit / 64]);
		has >>= bit % 64;
		differs = has & 1 ? ~has : has;
		if (differs != 0 && (uint64_t)__builtin_ctzll(differs) < run)
			run = (uint64_t)__builtin_ctzll(differs);
		got = (long)run;
		if (has & 1)
			got = frames_copy(dst, dpage + done, run,
					  src->alias + ((spage + done) << UF_PAGE_SHIFT));
		else
			frames_zero(dst, dpage + done, run);
		if (got != (long)run) {
			frames_drop(dst, dpage, done + (got > 0 ? (uint64_t)got : 0));
			return -ENOMEM;
		}
		done += run;
	}
	frames_drop(src, spage, n);
	return 0;
}

void frames_give(const struct mach_map *map, uint64_t page, uint64_t n)
{
	struct window *w = window_of(map);

	while (n > 0) {
		uint64_t bit = map->extent - w->start + page, run;
		bool warm = false;

		run = claim_run(w, bit, n, &warm);
		if (warm)
			punch_range(w, bit, run);
		page += run;
		n -= run;
	}
}

bool frames_present(const struct mach_map *map, uint64_t page)
{
	const struct window *w = window_of(map);
	uint64_t bit = map->extent - w->start + page;

	return all_bits(w->warm, bit, 1) || all_bits(w->maybe, bit, 1);
}

void *frames_pointer(const struct mach_map *map, uint64_t page)
{
	struct window *w = window_of(map);
	uint64_t bit = map->extent - w->start + page;
	bool warm;

	claim_run(w, bit, 1, &warm);
	if (!warm)
		set_bits(w->maybe, bit, 1);
	return (void *)(map->alias + (page << UF_PAGE_SHIFT));
}

bool frames_allocated(const struct mach_map *map, uint64_t page, uint64_t n)
{
	const struct window *w = window_of(map);

	return all_bits(w->warm, map->extent - w->start + page, n);
}
