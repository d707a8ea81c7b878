/*
 * raw_have.c - what is known of a file without reading it: where it has holes, and what of it the
 * page cache has.
 */
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* What was found out counts so long, in ms: pages leave the cache, and files may be written to. */
#define KEEP	   1000u
#define COPY	   (2u << 20)
#define AHEAD_MOST 32u
/* What is no longer is read, not mapped: a fault for each block, and mincore, cost more. */
#define READ_MOST (16u << 10)
/* Windows that one look marks at most. */
#define MARKS 4096u

static struct window all_data, all_hole;

static uint32_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint32_t)((uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000);
}

static bool counts(uint32_t until, uint32_t now)
{
	return until - now - 1 < KEEP;
}

/* ---- holes
 */

static void set_pages(struct window *w, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		w->data[i / 64] |= UINT64_C(1) << (i % 64);
}

/* Of windows [first, last) that nothing is known of. */
static void mark(struct raw *r, uint64_t first, uint64_t last, struct window *as)
{
	if (last > r->nwindows)
		last = r->nwindows;
	if (last > first + MARKS)
		last = first + MARKS;
	for (uint64_t i = first; i < last; i++) {
		if (!r->window[i])
			r->window[i] = as;
	}
}

/* The next stretch of data from `at` on; false: there is none, or everything is. */
static bool next_data(struct raw *r, uint64_t at, uint64_t *from, uint64_t *to)
{
	off_t data = lseek(r->fd, (off_t)at, SEEK_DATA), hole;
	struct stat st;

	if (data < 0) {
		/* Beyond the end of a file that was cut off is nothing that could be zero. */
		if (errno != ENXIO || fstat(r->fd, &st) != 0 || (uint64_t)st.st_size < r->s.size)
			r->no_holes = true;
		return false;
	}
	hole = lseek(r->fd, data, SEEK_HOLE);
	*from = (uint64_t)data;
	*to = hole > data && (uint64_t)hole < r->s.size ? (uint64_t)hole : page_round(r->s.size);
	return true;
}

static void load_window(struct raw *r, uint64_t index)
{
	uint64_t begin = index * WINDOW, end = begin + WINDOW, at = begin, from = 0, to = 0;
	struct window found = {0}, *w;
	bool any = false, whole = false;

	while (at < end) {
		if (!next_data(r, at, &from, &to)) {
			from = UINT64_MAX;
			break;
		}
		if (from >= end)
			break;
		any = true;
		whole = from <= begin && to >= end;
		set_pages(&found, (unsigned)((from > begin ? from - begin : 0) / SOURCE_PAGE),
			  (unsigned)((to < end ? page_round(to) - begin : WINDOW) / SOURCE_PAGE));
		at = to;
		if (to >= page_round(r->s.size))
			break;
	}
	if (r->no_holes)
		return;
	if (!any || whole) {
		w = whole ? &all_data : &all_hole;
	} else {
		w = malloc(sizeof(*w));
		if (!w)
			return;
		*w = found;
	}
	r->window[index] = w;
	if (whole)
		mark(r, index + 1, to / WINDOW, &all_data);
	else if (!any)
		mark(r, index + 1, from == UINT64_MAX ? r->nwindows : from / WINDOW, &all_hole);
}

static void forget_windows(struct raw *r)
{
	for (uint64_t i = 0; i < r->nwindows; i++) {
		if (r->window[i] && r->window[i] != &all_data && r->window[i] != &all_hole)
			free(r->window[i]);
		r->window[i] = NULL;
	}
	r->no_holes = false;
}

/* Has somebody written to the file, or cut it off? */
static void check_version(struct raw *r, uint32_t now)
{
	struct raw_version version = {0};
	struct stat st = {0};

	if (counts(r->version_until, now))
		return;
	r->version_until = now + KEEP;
	if (fstat(r->fd, &st) == 0) {
		version.size = (uint64_t)st.st_size;
		version.blocks = (uint64_t)st.st_blocks;
		version.mtime_s = st.st_mtim.tv_sec;
		version.mtime_ns = st.st_mtim.tv_nsec;
		version.ctime_s = st.st_ctim.tv_sec;
		version.ctime_ns = st.st_ctim.tv_nsec;
	}
	if (memcmp(&version, &r->version, sizeof(version)) != 0) {
		forget_windows(r);
		r->version = version;
		/* A device has none; a file that was cut off has errors there instead. */
		r->no_holes = S_ISBLK(st.st_mode) || version.size < r->s.size;
	}
}

static bool is_data(const struct window *w, unsigned page)
{
	return w->data[page / 64] >> (page % 64) & 1;
}

/* Pages from `page` on that are all data, or all not, as it is. */
static unsigned run_of(const struct window *w, unsigned page, bool data)
{
	unsigned at = page;

	while (at < WINDOW_PAGES) {
		uint64_t word = (data ? ~w->data[at / 64] : w->data[at / 64]) >> (at % 64);

		if (word)
			return at + (unsigned)__builtin_ctzll(word) - page;
		at = (at / 64 + 1) * 64;
	}
	return WINDOW_PAGES - page;
}

enum source_contents raw_extent(struct source *s, uint64_t offset, uint64_t *len)
{
	struct raw *r = raw_of(s);
	uint64_t index = offset / WINDOW, end = offset + *len, at = offset;
	bool data = true;

	check_version(r, now_ms());
	if (!r->no_holes && !r->window[index])
		load_window(r, index);
	if (r->no_holes || !r->window[index])
		return SOURCE_DATA;
	/* As far as is known by now; but not a TiB of windows at once. */
	for (uint64_t i = index; at < end && i < index + 64 && i < r->nwindows; i++) {
		const struct window *w = r->window[i];
		unsigned page = (unsigned)(at % WINDOW / SOURCE_PAGE), n = 0;

		if (!w)
			break;
		if (at == offset)
			data = w == &all_data || (w != &all_hole && is_data(w, page));
		if (w == &all_data || w == &all_hole)
			n = data == (w == &all_data) ? WINDOW_PAGES - page : 0;
		else if (is_data(w, page) == data)
			n = run_of(w, page, data);
		at += (uint64_t)n * SOURCE_PAGE;
		if (page + n < WINDOW_PAGES)
			break;
	}
	*len = (at < end ? at : end) - offset;
	return data ? SOURCE_DATA : SOURCE_ZERO;
}

/* ---- the page cache
 */

/* mincore says that all is resident to those who might not write to the file. */
static bool may_ask(struct raw *r, uint32_t now)
{
	struct stat st;

	if (!counts(r->truthful_until, now)) {
		r->truthful_until = now + KEEP;
		r->truthful = r->map && fstat(r->fd, &st) == 0 && S_ISREG(st.st_mode) &&
			      (st.st_uid == geteuid() ||
			       faccessat(r->fd, "", W_OK, AT_EACCESS | AT_EMPTY_PATH) == 0);
	}
	return r->truthful;
}

/*
 * The resident ones are not mapped here: who copies 16 pages faults once, and that costs less than
 * the advice to do it before (MADV_POPULATE_READ).
 */
static void note_block(struct raw *r, uint64_t index, const unsigned char *resident, unsigned pages,
		       uint32_t now)
{
	struct block *b = &r->block[index];

	b->there = 0;
	b->until = now + KEEP;
	for (unsigned i = 0; i < pages; i++)
		b->there |= (uint16_t)((resident[i] & 1u) << i);
}

/* Looks block index up, and those after it if they are likely to be asked for. */
static void look(struct raw *r, uint64_t index, uint32_t now)
{
	unsigned char resident[AHEAD_MOST * BLOCK_PAGES];
	uint64_t at = index * BLOCK, len;
	unsigned n = 1;

	if (index == r->next)
		n = r->ahead = r->ahead < AHEAD_MOST ? r->ahead * 2 : AHEAD_MOST;
	else
		r->ahead = 1;
	/* A file that is resident is looked up by the whole window, in whatever order it is read.
	 */
	if (n == 1 && r->warm) {
		n = AHEAD_MOST;
		index -= index % AHEAD_MOST;
		at = index * BLOCK;
	}
	len = r->map_size - at < n * BLOCK ? r->map_size - at : n * BLOCK;
	r->next = index + n;
	if (mincore(r->map + at, len, resident) != 0)
		memset(resident, 0, sizeof(resident));
	r->warm = true;
	for (uint64_t i = 0; i < len / SOURCE_PAGE; i++)
		r->warm &= resident[i] & 1;
	for (unsigned i = 0; i * BLOCK < len; i++) {
		uint64_t left = (len - i * BLOCK) / SOURCE_PAGE;

		note_block(r, index + i, resident + i * BLOCK_PAGES,
			   left < BLOCK_PAGES ? (unsigned)left : BLOCK_PAGES, now);
	}
}

/* Is [offset, end), in block index, resident? */
static bool there(const struct raw *r, uint64_t index, uint64_t offset, uint64_t end, uint32_t now)
{
	const struct block *b = &r->block[index];
	uint64_t begin = index * BLOCK;
	unsigned from = offset > begin ? (unsigned)((offset - begin) / SOURCE_PAGE) : 0;
	unsigned to = end - begin < BLOCK ? (unsigned)((end - begin) / SOURCE_PAGE) : BLOCK_PAGES;
	unsigned mask = ((1u << to) - 1) & ~((1u << from) - 1);

	return (b->there & mask) == mask && counts(b->until, now);
}

/* Where nothing can be asked: what a read that does not wait gets. */
static const void *copy_of(struct raw *r, uint64_t offset, uint64_t len)
{
	uint64_t want = r->s.size - offset < len ? r->s.size - offset : len;
	struct iovec iov = {.iov_len = len};
	ssize_t n;

	if (r->no_nowait || len > COPY)
		return NULL;
	if (!r->copy) {
		r->copy = aligned_alloc(SOURCE_PAGE, COPY);
		if (!r->copy)
			return NULL;
	}
	iov.iov_base = r->copy;
	n = preadv2(r->fd, &iov, 1, (off_t)offset, RWF_NOWAIT);
	if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL))
		r->no_nowait = true;
	if (n < 0 || (uint64_t)n < want)
		return NULL;
	memset(r->copy + want, 0, len - want);
	return r->copy;
}

const void *raw_peek(struct source *s, uint64_t offset, uint64_t len)
{
	struct raw *r = raw_of(s);
	uint64_t end = offset + len;
	uint32_t now;

	if (r->direct || offset >= s->size)
		return NULL;
	if (r->warm && len <= READ_MOST) {
		const void *copy = copy_of(r, offset, len);

		if (copy)
			return copy;
		/* Asking for what is not there begins a read of its own: not again, for a while. */
		r->warm = false;
	}
	now = now_ms();
	if (!may_ask(r, now))
		return copy_of(r, offset, len);
	if (end > r->map_size)
		return NULL;
	for (uint64_t i = offset / BLOCK; i * BLOCK < end; i++) {
		if (there(r, i, offset, end, now))
			continue;
		look(r, i, now);
		if (!there(r, i, offset, end, now))
			return NULL;
	}
	return r->map + offset;
}

int raw_have_new(struct raw *r)
{
	uint64_t size = page_round(r->s.size);

	r->nwindows = (size + WINDOW - 1) / WINDOW;
	r->window = calloc(r->nwindows + 1, sizeof(struct window *));
	r->block = calloc(size / BLOCK + 1, sizeof(struct block));
	if (!r->window || !r->block)
		return -ENOMEM;
	r->ahead = 1;
	if (r->direct || !size)
		return 0;
	r->map = mmap(NULL, size, PROT_READ, MAP_SHARED, r->fd, 0);
	if (r->map == MAP_FAILED)
		r->map = NULL;
	else
		r->map_size = size;
	return 0;
}

void raw_have_free(struct raw *r)
{
	if (r->window)
		forget_windows(r);
	free(r->window);
	free(r->block);
	free(r->copy);
	if (r->map)
		munmap(r->map, r->map_size);
}
