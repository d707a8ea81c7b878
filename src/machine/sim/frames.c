/* frames.c - contents of pages: frames, pages of files, private copies, and what stands aside. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine/sim/access.h"
#include "machine/sim/frames.h"

#define RUBBISH 0xdeaddeaddeaddeadull
#define CHUNK	(PAGE_WORDS / 4) /* others may run between two of these */
#define STRIDE	64		 /* pages of a huge one that may go without */

void sim_frame_spoil(struct sim_frame *f)
{
	atomic_store(&f->complete, false);
	for (unsigned i = 0; i < PAGE_WORDS; i++)
		f->word[i] = RUBBISH;
}

void sim_frames_fill(struct sim_frame *dst, const struct sim_frame *src, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		for (unsigned w = 0; w < PAGE_WORDS; w += CHUNK) {
			memcpy(dst[i].word + w, src[i].word + w, CHUNK * sizeof(uint64_t));
			if (i % STRIDE == 0)
				sim_point();
		}
	}
}

struct sim_map *sim_closed_pages(const struct mach_span *span, uint64_t page, uint64_t n)
{
	struct sim_map *m = sim_map_of(span->map);

	if (page + n > m->npages || page < span->first || page + n > span->first + span->npages)
		sim_fail("pages %llu and %llu more are beyond the span", (unsigned long long)page,
			 (unsigned long long)n);
	if (page % m->granule || n % m->granule)
		sim_fail("pages %llu and %llu more are not whole huge pages",
			 (unsigned long long)page, (unsigned long long)n);
	for (uint64_t i = page; i < page + n; i++) {
		if (span->addr)
			(void)sim_span_page(span, i);
		else if (m->where[i])
			sim_fail("page %llu is said to stand nowhere: it is at %#llx",
				 (unsigned long long)i, (unsigned long long)m->where[i]);
		if (m->where[i] && sim_tlb(m->where[i]))
			sim_fail("the frame of page %llu at %#llx is written while it is open",
				 (unsigned long long)i, (unsigned long long)m->where[i]);
	}
	return m;
}

struct sim_frame *sim_closed_frame(const struct mach_span *span, uint64_t page)
{
	struct sim_map *m = sim_closed_pages(span, page, 1);

	if (m->kind != MACH_MAP_FRAMES)
		sim_fail("page %llu of a file is used as a frame", (unsigned long long)page);
	return &m->frames[page];
}

/* ---- Filling -------------------------------------------------------------------------------- */

/* Frames of a granule that are being made: its own for FRAMES, new ones otherwise. */
static struct sim_frame *begin_fill(struct sim_map *m, uint64_t page)
{
	sim_map_unshare(m);
	return m->kind == MACH_MAP_FRAMES ? &m->frames[page] : sim_frames_new(m->granule);
}

static void undo_fill(struct sim_map *m, struct sim_frame *f)
{
	if (m->kind == MACH_MAP_FRAMES)
		sim_frame_spoil(f);
	else
		free(f);
}

/* May a page of the file, or a private copy, be made here? Files locked. */
static int may_fill(const struct sim_map *m, uint64_t page)
{
	if (m->file_page + page >= m->file->size)
		return -EFAULT;
	if (m->kind == MACH_MAP_PRIVATE)
		return 0;
	if (sim_file_at(m->file, m->file_page + page))
		return -EEXIST;
	return sim_file_has_room(m->file) ? 0 : -ENOMEM;
}

static int check_fill(const struct sim_map *m, uint64_t page)
{
	int err;

	if (m->kind == MACH_MAP_FRAMES)
		return 0;
	sim_files_lock();
	err = may_fill(m, page);
	sim_files_unlock();
	return err;
}

/* Others can see it from here on. Files locked. */
static void publish(struct sim_map *m, uint64_t page, struct sim_frame *f)
{
	if (m->kind == MACH_MAP_SHARED) {
		sim_file_put(m->file, m->file_page + page, f);
		return;
	}
	free(m->copy[page / m->granule]);
	m->copy[page / m->granule] = f;
	m->mapped[page / m->granule] = true;
}

/* Complete: in one step others can see it, or somebody else's was there first. */
static int end_fill(struct sim_map *m, uint64_t page, struct sim_frame *f)
{
	int err = 0;

	if (m->kind == MACH_MAP_FRAMES) {
		atomic_store(&f->complete, true);
		m->forked[page] = false;
		return 0;
	}
	sim_files_lock();
	err = may_fill(m, page);
	if (!err)
		publish(m, page, f);
	sim_files_unlock();
	if (err)
		free(f);
	return err;
}

static bool read_source(struct sim_frame *f, uint64_t n, uint64_t src)
{
	for (uint64_t i = 0; i < n; i++) {
		for (unsigned w = 0; w < PAGE_WORDS; w += CHUNK) {
			uint64_t at = src + i * UF_PAGE_SIZE + w * sizeof(uint64_t);

			if (!sim_read_now(at, f[i].word + w, CHUNK * sizeof(uint64_t)))
				return false;
			if (i % STRIDE == 0)
				sim_point();
		}
	}
	return true;
}

static void take_source(struct sim_frame *f, uint64_t n, const char *buf)
{
	for (uint64_t i = 0; i < n; i++) {
		memcpy(f[i].word, buf + i * UF_PAGE_SIZE, sizeof(f[i].word));
		if (i % STRIDE == 0)
			sim_point();
	}
}

/* From the program's memory at src or, if buf is not NULL, from there. */
static int copy_granule(const struct mach_span *span, uint64_t page, uint64_t src, const char *buf)
{
	struct sim_map *m = sim_map_of(span->map);
	int err = check_fill(m, page);
	struct sim_frame *f;

	if (!err && sim_no_memory())
		err = -ENOMEM;
	if (err)
		return err;
	f = begin_fill(m, page);
	if (buf) {
		take_source(f, m->granule, buf);
	} else if (sim_chance(sim_config.stutter) || !read_source(f, m->granule, src)) {
		undo_fill(m, f);
		return -EFAULT;
	}
	(void)sim_closed_pages(span, page, m->granule);
	return end_fill(m, page, f);
}

static long fill_from(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t src,
		      const char *buf)
{
	struct sim_map *m = sim_closed_pages(span, page, n);
	uint64_t done;
	int err = 0;

	sim_point();
	for (done = 0; done < n; done += m->granule) {
		err = copy_granule(span, page + done, src + done * UF_PAGE_SIZE,
				   buf ? buf + done * UF_PAGE_SIZE : NULL);
		if (err)
			break;
	}
	return done ? (long)done : err;
}

long mach_frames_copy(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t src)
{
	return fill_from(span, page, n, src, NULL);
}

long mach_frames_write(const struct mach_span *span, uint64_t page, uint64_t n, const void *buf)
{
	return fill_from(span, page, n, 0, buf);
}

/* Pages of a file appear all at once, or none of them. */
static int zero_file(const struct mach_span *span, uint64_t page, uint64_t n)
{
	static const struct sim_frame zeroes;
	struct sim_map *m = sim_map_of(span->map);
	uint64_t groups = n / m->granule;
	struct sim_frame **made = calloc(groups, sizeof(*made));
	int err = 0;

	for (uint64_t i = 0; i < groups; i++) {
		made[i] = sim_frames_new(m->granule);
		sim_frames_fill(made[i], &zeroes, 1);
	}
	(void)sim_closed_pages(span, page, n);
	sim_files_lock();
	for (uint64_t i = 0; !err && i < groups; i++)
		err = may_fill(m, page + i * m->granule);
	if (!err && m->kind == MACH_MAP_SHARED && m->file->used + n > m->file->room)
		err = -ENOMEM;
	for (uint64_t i = 0; !err && i < groups; i++)
		publish(m, page + i * m->granule, made[i]);
	sim_files_unlock();
	for (uint64_t i = 0; err && i < groups; i++)
		free(made[i]);
	free(made);
	return err;
}

int mach_frames_zero(const struct mach_span *span, uint64_t page, uint64_t n)
{
	static const struct sim_frame zeroes;
	struct sim_map *m = sim_closed_pages(span, page, n);

	sim_point();
	if (sim_no_memory())
		return -ENOMEM;
	if (m->kind != MACH_MAP_FRAMES)
		return zero_file(span, page, n);
	sim_map_unshare(m);
	for (uint64_t i = page; i < page + n; i++) {
		sim_frames_fill(&m->frames[i], &zeroes, 1);
		(void)sim_closed_pages(span, i, 1);
		atomic_store(&m->frames[i].complete, true);
		m->forked[i] = false;
	}
	return 0;
}

/* ---- Taking and dropping -------------------------------------------------------------------- */

/* The contents of a page, NULL: it has none. Files locked. */
static struct sim_frame *contents(struct sim_map *m, uint64_t page)
{
	if (m->kind != MACH_MAP_FRAMES)
		return sim_map_shown(m, page);
	return atomic_load(&m->frames[page].complete) ? &m->frames[page] : NULL;
}

/* The contents leave: the frame, the page of the file, or the private copy is empty then. */
static void take_away(struct sim_map *m, uint64_t page)
{
	switch (m->kind) {
	case MACH_MAP_FRAMES:
		sim_map_unshare(m);
		sim_frame_spoil(&m->frames[page]);
		return;
	case MACH_MAP_SHARED:
		sim_file_take(m->file, m->file_page + page, m->granule);
		return;
	case MACH_MAP_PRIVATE:
		sim_files_lock();
		free(m->copy[page / m->granule]);
		m->copy[page / m->granule] = NULL;
		m->mapped[page / m->granule] = false;
		sim_files_unlock();
		return;
	}
}

/* Can all of it be moved? */
static int check_move(struct sim_map *to, uint64_t dpage, struct sim_map *from, uint64_t spage,
		      uint64_t n)
{
	int err = 0;

	for (uint64_t i = 0; !err && i < n; i += to->granule)
		err = check_fill(to, dpage + i);
	sim_files_lock();
	for (uint64_t i = 0; !err && i < n; i++) {
		if (contents(from, spage + i))
			continue;
		if (from->kind == MACH_MAP_FRAMES)
			sim_fail("page %llu is moved and has no contents",
				 (unsigned long long)(spage + i));
		err = -EFAULT;
	}
	sim_files_unlock();
	return err ? err : sim_no_memory() ? -ENOMEM : 0;
}

/* A simulated program has no memory but what is managed, or can be. */
long mach_frames_take(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t src)
{
	(void)span;
	(void)page;
	(void)n;
	(void)src;
	return -EINVAL;
}

int mach_frames_move(const struct mach_span *dst, uint64_t dpage, const struct mach_span *src,
		     uint64_t spage, uint64_t n)
{
	struct sim_map *to = sim_closed_pages(dst, dpage, n);
	struct sim_map *from = sim_closed_pages(src, spage, n);
	int err;

	sim_point();
	err = check_move(to, dpage, from, spage, n);
	for (uint64_t i = 0; !err && i < n; i += to->granule) {
		struct sim_frame *f = begin_fill(to, dpage + i);

		for (uint64_t k = 0; k < to->granule; k++) {
			sim_files_lock();
			if (contents(from, spage + i + k))
				memcpy(f[k].word, contents(from, spage + i + k)->word,
				       UF_PAGE_SIZE);
			sim_files_unlock();
			if (k % STRIDE == 0)
				sim_point();
		}
		(void)sim_closed_pages(dst, dpage + i, to->granule);
		(void)sim_closed_pages(src, spage, n);
		err = end_fill(to, dpage + i, f);
	}
	if (err)
		return err;
	for (uint64_t i = 0; i < n; i += from->granule)
		take_away(from, spage + i);
	return 0;
}

void mach_frames_drop(const struct mach_span *span, uint64_t page, uint64_t n)
{
	struct sim_map *m = sim_closed_pages(span, page, n);

	sim_point();
	for (uint64_t i = page; i < page + n; i += m->granule) {
		if (m->kind != MACH_MAP_SHARED) {
			take_away(m, i);
			continue;
		}
		sim_files_lock();
		m->mapped[i / m->granule] = false;
		sim_files_unlock();
	}
}

void mach_frames_give(const struct mach_span *span, uint64_t page, uint64_t n)
{
	if (sim_map_of(span->map)->kind != MACH_MAP_FRAMES)
		sim_fail("frames are given back that are a file's");
	mach_frames_drop(span, page, n);
}

int mach_frames_read(const struct mach_span *span, uint64_t page, void *buf)
{
	struct sim_map *m = sim_map_of(span->map);
	struct sim_frame *f;

	sim_point();
	if (page < span->first || page >= span->first + span->npages || page >= m->npages)
		sim_fail("page %llu is beyond the span", (unsigned long long)page);
	if (m->where[page] && (sim_tlb(m->where[page]) & UF_PROT_WRITE))
		sim_fail("page %llu is read while it can be written", (unsigned long long)page);
	sim_files_lock();
	f = contents(m, page);
	if (f)
		memcpy(buf, f->word, UF_PAGE_SIZE);
	sim_files_unlock();
	if (!f && m->kind == MACH_MAP_FRAMES)
		sim_fail("the frame of page %llu is read and has no contents",
			 (unsigned long long)page);
	return f ? 0 : -EFAULT;
}

void *mach_frame(struct mach_map *map, uint64_t page)
{
	struct sim_map *m = sim_map_of(map);
	struct sim_frame *f;

	if (page >= m->npages || m->kind == MACH_MAP_PRIVATE)
		sim_fail("page %llu has no frame", (unsigned long long)page);
	if (m->kind == MACH_MAP_FRAMES) {
		atomic_store(&m->frames[page].complete, true);
		return m->frames[page].word;
	}
	sim_files_lock();
	f = sim_file_at(m->file, m->file_page + page);
	sim_files_unlock();
	if (!f)
		sim_fail("page %llu of the file is a hole", (unsigned long long)page);
	return f->word;
}

/* ---- Files ---------------------------------------------------------------------------------- */

static struct sim_map *file_pages(const struct mach_span *span, uint64_t page, uint64_t n)
{
	struct sim_map *m = sim_map_of(span->map);

	sim_point();
	if (!m->file || n > 512 || page < span->first || page + n > span->first + span->npages)
		sim_fail("a file is asked for pages that it has not");
	return m;
}

uint64_t mach_file_lookup(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t *bits)
{
	struct sim_map *m = file_pages(span, page, n);
	uint64_t first = m->file_page + page, left;

	sim_files_lock();
	for (uint64_t i = 0; i < n; i++)
		if (sim_file_at(m->file, first + i))
			bits[i / 64] |= (uint64_t)1 << (i % 64);
	left = first >= m->file->size ? 0 : m->file->size - first;
	sim_files_unlock();
	return left < n ? left : n;
}

void mach_pages_mapped(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t *bits)
{
	struct sim_map *m = file_pages(span, page, n);

	sim_files_lock();
	for (uint64_t i = 0; i < n; i++)
		if (m->mapped[(page + i) / m->granule])
			bits[i / 64] |= (uint64_t)1 << (i % 64);
	sim_files_unlock();
}

void mach_pages_private(const struct mach_span *span, uint64_t page, uint64_t n, uint64_t *bits)
{
	struct sim_map *m = file_pages(span, page, n);

	sim_files_lock();
	for (uint64_t i = 0; i < n; i++)
		if (m->copy[(page + i) / m->granule])
			bits[i / 64] |= (uint64_t)1 << (i % 64);
	sim_files_unlock();
}

int mach_file_punch(const struct mach_span *span, uint64_t page, uint64_t n)
{
	struct sim_map *m = sim_map_of(span->map);

	if (m->kind != MACH_MAP_SHARED)
		return -EINVAL;
	if (sim_no_memory())
		return -ENOMEM;
	return sim_file_punch(m->file, m->file_page + page, n);
}

int mach_file_advise(const struct mach_span *span, uint64_t page, uint64_t n, int advice)
{
	(void)advice;
	(void)file_pages(span, page, n < 512 ? n : 512);
	return 0;
}

/* ---- Aside ---------------------------------------------------------------------------------- */

void mach_aside_query(struct mach_map *map, uint64_t page, uint64_t n, uint64_t *bits)
{
	struct sim_map *m = sim_map_of(map);

	sim_point();
	if (n > 512 || page + n > m->npages)
		sim_fail("aside query beyond the map");
	for (uint64_t i = 0; i < n; i++)
		if (m->aside[page + i])
			bits[i / 64] |= (uint64_t)1 << (i % 64);
}

static void aside_forget(struct mach_map *map, struct sim_map *m, uint64_t page)
{
	if (!m->aside[page])
		return;
	free(m->aside[page]);
	m->aside[page] = NULL;
	__atomic_fetch_sub(&map->aside_pages, 1, __ATOMIC_RELAXED);
}

int mach_aside_draw(const struct mach_span *span, uint64_t page, uint64_t n)
{
	struct sim_map *m = sim_map_of(span->map);

	sim_point();
	if (m->frozen && sim_no_memory())
		return -ENOMEM;
	sim_map_unshare(m);
	for (uint64_t i = page; i < page + n; i++) {
		if (m->where[i] && sim_tlb(m->where[i]))
			sim_fail("the frame of page %llu at %#llx is written while it is open",
				 (unsigned long long)i, (unsigned long long)m->where[i]);
		if (!m->aside[i])
			sim_fail("page %llu is drawn in and does not stand aside",
				 (unsigned long long)i);
		sim_frames_fill(&m->frames[i], m->aside[i], 1);
		atomic_store(&m->frames[i].complete, true);
		aside_forget(span->map, m, i);
	}
	return 0;
}

void mach_aside_drop(struct mach_map *map, uint64_t page, uint64_t n)
{
	struct sim_map *m = sim_map_of(map);

	sim_point();
	for (uint64_t i = page; i < page + n; i++)
		aside_forget(map, m, i);
}
