/* maps.c - maps, the software TLB, frames and what stands aside. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine/sim/access.h"
#include "machine/sim/world.h"

#define MAX_MAPS 1024
#define RUBBISH	 0xdeaddeaddeaddeadull
#define CHUNK	 (PAGE_WORDS / 4) /* others may run between two of these */

static struct sim_map maps[MAX_MAPS];
static _Atomic uint32_t maps_lock;

static void lock_maps(void)
{
	while (atomic_exchange_explicit(&maps_lock, 1, memory_order_acquire))
		mach_relax();
}

static void unlock_maps(void)
{
	atomic_store_explicit(&maps_lock, 0, memory_order_release);
}

struct sim_map *sim_map_of(const struct mach_map *map)
{
	if (map->id == 0 || map->id > MAX_MAPS || !maps[map->id - 1].used)
		sim_fail("no such map: %u", map->id);
	return &maps[map->id - 1];
}

static void spoil(struct sim_frame *f)
{
	atomic_store(&f->complete, false);
	for (unsigned i = 0; i < PAGE_WORDS; i++)
		f->word[i] = RUBBISH;
}

static struct sim_map *map_new(struct mach_map *map, uint64_t npages)
{
	unsigned id = 0;

	lock_maps();
	while (id < MAX_MAPS && maps[id].used)
		id++;
	if (id < MAX_MAPS)
		maps[id].used = true;
	unlock_maps();
	if (id == MAX_MAPS)
		return NULL;

	struct sim_map *m = &maps[id];

	m->npages = npages;
	m->frames = calloc(npages, sizeof(*m->frames));
	m->aside = calloc(npages, sizeof(*m->aside));
	m->where = calloc(npages, sizeof(*m->where));
	if (!m->frames || !m->aside || !m->where)
		sim_fail("out of memory");
	for (uint64_t i = 0; i < npages; i++)
		spoil(&m->frames[i]);
	map->npages = npages;
	map->id = id + 1;
	map->extent = id;
	map->aside = 0;
	map->aside_pages = 0;
	map->chunk_pages = 1;
	return m;
}

static void map_free(struct sim_map *m)
{
	for (uint64_t i = 0; i < m->npages; i++)
		free(m->aside[i]);
	free(m->frames);
	free(m->aside);
	free(m->where);
	lock_maps();
	m->used = false;
	unlock_maps();
}

void sim_world_left(struct sim_left *left)
{
	left->maps = 0;
	for (unsigned i = 0; i < MAX_MAPS; i++)
		left->maps += maps[i].used;
}

void sim_world_stop(void)
{
	for (uint64_t i = 0; i < sim_config.pages; i++)
		sim_page_clear(&sim_pages[i]);
	for (unsigned i = 0; i < MAX_MAPS; i++)
		if (maps[i].used)
			map_free(&maps[i]);
	free(sim_pages);
	sim_pages = NULL;
}

static void show(struct sim_page *p, struct sim_map *m, uint64_t index, uint32_t tlb)
{
	sim_page_lock(p);
	p->kind = SIM_MANAGED;
	p->map = m;
	p->index = index;
	p->tlb = tlb;
	sim_page_unlock(p);
	m->where[index] = sim_page_addr(p);
}

static bool adoptable(struct sim_page *p, uint32_t prot)
{
	bool ok;

	sim_page_lock(p);
	ok = p->kind == SIM_NATIVE && p->vma.kind == MACH_VMA_ANON && !p->vma.shared &&
	     p->vma.prot == prot;
	sim_page_unlock(p);
	return ok;
}

int mach_map_adopt(struct mach_map *map, uint64_t addr, uint64_t npages, uint32_t prot)
{
	struct sim_page *first = sim_page_must(addr);
	struct sim_map *m;

	sim_point();
	sim_page_must(addr + (npages - 1) * UF_PAGE_SIZE);
	for (uint64_t i = 0; i < npages; i++)
		if (!adoptable(&first[i], prot))
			sim_fail("adopt of what is not one private anonymous mapping");
	m = sim_no_memory() ? NULL : map_new(map, npages);
	if (!m)
		return -ENOMEM;
	for (uint64_t i = 0; i < npages; i++) {
		sim_page_lock(&first[i]);
		m->aside[i] = first[i].native;
		first[i].native = NULL;
		sim_page_unlock(&first[i]);
		show(&first[i], m, i, 0);
		if (!m->aside[i])
			continue;
		map->aside = mach_task_size() - npages * UF_PAGE_SIZE;
		map->aside_pages++;
	}
	sim_point();
	return 0;
}

int mach_map_fresh(struct mach_map *map, uint64_t addr, uint64_t npages, uint32_t prot)
{
	struct sim_map *m;

	(void)prot;
	sim_point();
	m = sim_no_memory() ? NULL : map_new(map, npages);
	if (!m)
		return -ENOMEM;
	for (uint64_t i = 0; i < npages; i++) {
		struct sim_page *p = sim_page_must(addr + i * UF_PAGE_SIZE);

		sim_page_clear(p);
		show(p, m, i, 0);
	}
	return 0;
}

void mach_map_destroy(struct mach_map *map)
{
	struct sim_map *m = sim_map_of(map);

	sim_point();
	for (uint64_t i = 0; i < m->npages; i++)
		if (m->where[i])
			sim_fail("a map is destroyed while page %llu is at %#llx",
				 (unsigned long long)i, (unsigned long long)m->where[i]);
	map_free(m);
	map->id = 0;
}

/* The page of the program that a span says shows `page`. */
static struct sim_page *span_page(const struct mach_span *span, uint64_t page)
{
	struct sim_page *p;

	if (page < span->first || page >= span->first + span->npages)
		sim_fail("page %llu is not in the span", (unsigned long long)page);
	p = sim_page_must(span->addr + (page - span->first) * UF_PAGE_SIZE);
	if (p->kind != SIM_MANAGED || p->map != sim_map_of(span->map) || p->index != page)
		sim_fail("a span says that page %llu stands at %#llx: it does not",
			 (unsigned long long)page, (unsigned long long)sim_page_addr(p));
	return p;
}

int mach_map_move(const struct mach_span *from, uint64_t to, bool keep)
{
	struct sim_map *m = sim_map_of(from->map);

	(void)keep; /* nothing lands anywhere on its own */
	sim_point();
	/* A move that is undone goes back into the hole it left: there is room. */
	if (sim_is_mapped(to) && sim_no_memory())
		return -ENOMEM;
	for (uint64_t i = 0; i < from->npages; i++) {
		struct sim_page *old = span_page(from, from->first + i);
		struct sim_page *new = sim_page_must(to + i * UF_PAGE_SIZE);
		uint32_t tlb = sim_tlb(sim_page_addr(old));

		sim_page_clear(old);
		sim_page_clear(new);
		show(new, m, from->first + i, tlb);
	}
	return 0;
}

/* ---- The TLB -------------------------------------------------------------------------------- */

int mach_tlb_open(const struct mach_span *span, uint64_t page, uint64_t n, uint32_t prot)
{
	struct sim_map *m = sim_map_of(span->map);

	sim_point();
	if (!prot || (prot & ~span->prot))
		sim_fail("open with %#x where the area has %#x", prot, span->prot);
	if (sim_no_memory())
		return -ENOMEM;
	for (uint64_t i = page; i < page + n; i++) {
		struct sim_page *p = span_page(span, i);

		if (!atomic_load(&m->frames[i].complete))
			sim_fail("page %llu is opened before it is complete",
				 (unsigned long long)i);
		sim_page_lock(p);
		p->tlb |= prot;
		sim_page_unlock(p);
	}
	sim_maybe_evict();
	sim_point();
	return 0;
}

void mach_tlb_limit(const struct mach_span *span, uint64_t page, uint64_t n, uint32_t prot)
{
	sim_point();
	for (uint64_t i = page; i < page + n; i++) {
		struct sim_page *p = span_page(span, i);

		sim_page_lock(p);
		p->tlb &= prot;
		sim_page_unlock(p);
	}
	sim_point();
}

void mach_usage(uint64_t *mappings, uint64_t *budget)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < sim_config.pages; i++)
		n += sim_tlb(SIM_BASE + i * UF_PAGE_SIZE) != 0;
	*mappings = n;
	*budget = sim_config.pages;
}

/* ---- Frames --------------------------------------------------------------------------------- */

/* A frame whose contents are about to change: nobody can see it. */
static struct sim_frame *closed_frame(struct mach_map *map, uint64_t page)
{
	struct sim_map *m = sim_map_of(map);

	if (page >= m->npages)
		sim_fail("page %llu is beyond the map", (unsigned long long)page);
	if (m->where[page] && sim_tlb(m->where[page]))
		sim_fail("the frame of page %llu at %#llx is written while it is open",
			 (unsigned long long)page, (unsigned long long)m->where[page]);
	return &m->frames[page];
}

static void copy_words(uint64_t *dst, const uint64_t *src)
{
	for (unsigned i = 0; i < PAGE_WORDS; i += CHUNK) {
		memcpy(dst + i, src + i, CHUNK * sizeof(*dst));
		sim_point();
	}
}

long mach_frames_copy(struct mach_map *map, uint64_t page, uint64_t n, uint64_t src)
{
	long done = 0;

	sim_point();
	for (uint64_t i = page; i < page + n; i++, done++) {
		struct sim_frame *f = closed_frame(map, i);
		bool ok = !sim_chance(sim_config.stutter);

		for (unsigned w = 0; ok && w < PAGE_WORDS; w += CHUNK) {
			uint64_t at = src + (uint64_t)done * UF_PAGE_SIZE + w * sizeof(uint64_t);

			ok = sim_read_now(at, f->word + w, CHUNK * sizeof(uint64_t));
			sim_point();
		}
		if (!ok) {
			spoil(f);
			break;
		}
		atomic_store(&f->complete, true);
	}
	return done ? done : -EFAULT;
}

void mach_frames_zero(struct mach_map *map, uint64_t page, uint64_t n)
{
	static const uint64_t zeroes[PAGE_WORDS];

	sim_point();
	for (uint64_t i = page; i < page + n; i++) {
		struct sim_frame *f = closed_frame(map, i);

		copy_words(f->word, zeroes);
		atomic_store(&f->complete, true);
	}
}

void mach_frames_move(struct mach_map *dst, uint64_t dpage, struct mach_map *src, uint64_t spage,
		      uint64_t n)
{
	sim_point();
	for (uint64_t i = 0; i < n; i++) {
		struct sim_frame *to = closed_frame(dst, dpage + i);
		struct sim_frame *from = closed_frame(src, spage + i);

		if (!atomic_load(&from->complete))
			sim_fail("page %llu is moved and has no contents",
				 (unsigned long long)(spage + i));
		copy_words(to->word, from->word);
		closed_frame(dst, dpage + i);
		closed_frame(src, spage + i);
		atomic_store(&to->complete, true);
		spoil(from);
	}
}

void mach_frames_drop(struct mach_map *map, uint64_t page, uint64_t n)
{
	sim_point();
	for (uint64_t i = page; i < page + n; i++)
		spoil(closed_frame(map, i));
}

void *mach_frame(struct mach_map *map, uint64_t page)
{
	struct sim_map *m = sim_map_of(map);

	if (page >= m->npages)
		sim_fail("page %llu is beyond the map", (unsigned long long)page);
	atomic_store(&m->frames[page].complete, true);
	return m->frames[page].word;
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

void mach_aside_draw(struct mach_map *map, uint64_t page, uint64_t n)
{
	struct sim_map *m = sim_map_of(map);

	sim_point();
	for (uint64_t i = page; i < page + n; i++) {
		struct sim_frame *f = closed_frame(map, i);

		if (!m->aside[i])
			sim_fail("page %llu is drawn in and does not stand aside",
				 (unsigned long long)i);
		copy_words(f->word, m->aside[i]->word);
		atomic_store(&f->complete, true);
		aside_forget(map, m, i);
	}
}

void mach_aside_drop(struct mach_map *map, uint64_t page, uint64_t n)
{
	struct sim_map *m = sim_map_of(map);

	sim_point();
	for (uint64_t i = page; i < page + n; i++)
		aside_forget(map, m, i);
}
