/* maps.c - maps and the software TLB. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine/sim/frames.h"

#define MAX_MAPS 1024

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

/* A map of frames; or of a file, from a page of it on. */
static struct sim_map *map_new(struct mach_map *map, uint64_t npages, enum mach_map_kind kind,
			       struct sim_file *file, uint64_t file_page)
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

	*m = (struct sim_map){.used = true, .kind = kind, .npages = npages};
	m->granule = file ? file->granule : 1;
	m->file = file;
	m->file_page = file_page;
	m->where = calloc(npages, sizeof(*m->where));
	m->aside = calloc(npages, sizeof(*m->aside));
	if (file) {
		m->copy = calloc(npages / m->granule, sizeof(*m->copy));
		m->mapped = calloc(npages / m->granule, sizeof(*m->mapped));
	} else {
		m->frames = calloc(npages, sizeof(*m->frames));
		m->forked = calloc(npages, sizeof(*m->forked));
	}
	for (uint64_t i = 0; !file && i < npages; i++)
		sim_frame_spoil(&m->frames[i]);
	*map = (struct mach_map){.lock = map->lock, .tlb = map->tlb, .kind = kind};
	map->npages = npages;
	map->id = id + 1;
	map->extent = id;
	map->chunk_pages = m->granule;
	map->page_shift = m->granule == 1 ? UF_PAGE_SHIFT : 21;
	map->file = file ? file->ino : 0;
	map->file_page = file_page;
	return m;
}

static void map_free(struct sim_map *m)
{
	for (uint64_t i = 0; i < m->npages; i++)
		free(m->aside[i]);
	for (uint64_t g = 0; m->copy && g < m->npages / m->granule; g++)
		free(m->copy[g]);
	free(m->copy);
	free(m->mapped);
	free(m->frames);
	free(m->forked);
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
	sim_files_stop();
	free(sim_pages);
	sim_pages = NULL;
}

static void show(struct sim_page *p, struct sim_map *m, uint64_t index, uint32_t tlb)
{
	sim_page_lock(p);
	p->kind = SIM_MANAGED;
	p->map = m;
	p->index = index;
	sim_page_set_tlb(p, tlb);
	sim_page_unlock(p);
	m->where[index] = sim_page_addr(p);
}

static bool adoptable(struct sim_page *p, uint32_t prot)
{
	bool ok;

	sim_page_lock(p);
	ok = p->kind == SIM_NATIVE && !p->vma.shared && p->vma.prot == prot &&
	     (p->vma.kind == MACH_VMA_ANON || p->vma.kind == MACH_VMA_DEVZERO);
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
	m = sim_no_memory() ? NULL : map_new(map, npages, MACH_MAP_FRAMES, NULL, 0);
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

/* Does the page of the program show this page of the map? */
static bool stands_at(uint64_t addr, const struct sim_map *m, uint64_t index)
{
	struct sim_page *p = sim_page_must(addr);
	bool stands;

	sim_page_lock(p);
	stands = p->kind == SIM_MANAGED && p->map == m && p->index == index;
	sim_page_unlock(p);
	return stands;
}

bool mach_map_stands(const struct mach_span *span)
{
	struct sim_map *m = sim_map_of(span->map);

	sim_point();
	for (uint64_t i = 0; i < span->npages; i++)
		if (!stands_at(span->addr + i * UF_PAGE_SIZE, m, span->first + i))
			return false;
	return true;
}

/* A page that is unmapped leaves its map here whoever does it. */
void mach_map_left(uint64_t addr, uint64_t npages)
{
	(void)addr;
	(void)npages;
}

int mach_map_fresh(struct mach_map *map, uint64_t addr, uint64_t npages, uint32_t prot)
{
	struct sim_map *m;

	(void)prot;
	sim_point();
	m = sim_no_memory() ? NULL : map_new(map, npages, MACH_MAP_FRAMES, NULL, 0);
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

/* Does the native page show what the map is to take over? */
static bool of_file(struct sim_page *p, const struct sim_file *file, uint64_t file_page,
		    bool shared)
{
	bool ok;

	sim_page_lock(p);
	ok = p->kind == SIM_NATIVE && p->file == file && p->file_page == file_page &&
	     p->vma.shared == shared;
	sim_page_unlock(p);
	return ok;
}

/* A native page becomes page i of the map, with what the host has for it. */
static void take_over(struct sim_map *m, uint64_t i, struct sim_page *p)
{
	sim_page_lock(p);
	sim_files_lock();
	if (i % m->granule == 0) {
		m->copy[i / m->granule] = p->native;
		m->mapped[i / m->granule] = p->mapped;
		p->native = NULL;
	}
	p->file = NULL;
	sim_files_unlock();
	sim_page_unlock(p);
	show(p, m, i, 0);
}

int mach_map_adopt_file(struct mach_map *map, uint64_t addr, uint64_t npages,
			const struct mach_vma *vma)
{
	uint64_t page = vma->file_page + (addr - vma->start) / UF_PAGE_SIZE;
	struct sim_page *first = sim_page_must(addr);
	struct sim_file *file = sim_file_of_ino(vma->ino);
	struct sim_map *m;

	sim_point();
	sim_page_must(addr + (npages - 1) * UF_PAGE_SIZE);
	if (!file || addr < vma->start || addr + npages * UF_PAGE_SIZE > vma->end)
		sim_fail("adopt of what is not one mapping of a file");
	if (addr / UF_PAGE_SIZE % file->granule || npages % file->granule)
		sim_fail("adopt of half a huge page");
	for (uint64_t i = 0; i < npages; i++)
		if (!of_file(&first[i], file, page + i, vma->shared))
			sim_fail("adopt of what is not one mapping of a file");
	m = sim_no_memory() ? NULL
			    : map_new(map, npages, vma->shared ? MACH_MAP_SHARED : MACH_MAP_PRIVATE,
				      file, page);
	if (!m)
		return -ENOMEM;
	for (uint64_t i = 0; i < npages; i++)
		take_over(m, i, &first[i]);
	sim_point();
	return 0;
}

int mach_map_extend(struct mach_map *map, const struct mach_map *like, uint64_t first,
		    uint64_t addr, uint64_t npages)
{
	struct sim_map *old = sim_map_of(like), *m;

	sim_point();
	if (!old->file)
		sim_fail("a map of frames is extended as one of a file");
	if (first % old->granule || addr / UF_PAGE_SIZE % old->granule || npages % old->granule)
		sim_fail("extended by half a huge page");
	m = sim_no_memory() ? NULL
			    : map_new(map, npages, old->kind, old->file, old->file_page + first);
	if (!m)
		return -ENOMEM;
	for (uint64_t i = 0; i < npages; i++) {
		struct sim_page *p = sim_page_must(addr + i * UF_PAGE_SIZE);

		sim_page_clear(p);
		show(p, m, i, 0);
	}
	return 0;
}

struct sim_page *sim_span_page(const struct mach_span *span, uint64_t page)
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
	if (from->first % m->granule || from->npages % m->granule || to / UF_PAGE_SIZE % m->granule)
		sim_fail("half a huge page is moved");
	/* A move that is undone goes back into the hole it left: there is room. */
	if (sim_is_mapped(to) && sim_no_memory())
		return -ENOMEM;
	for (uint64_t i = 0; i < from->npages; i++) {
		struct sim_page *old = sim_span_page(from, from->first + i);
		struct sim_page *new = sim_page_must(to + i * UF_PAGE_SIZE);
		uint32_t tlb = sim_tlb(sim_page_addr(old));

		sim_page_leave(old);
		sim_page_clear(new);
		show(new, m, from->first + i, tlb);
	}
	return 0;
}

/* ---- The TLB -------------------------------------------------------------------------------- */

/* A page of a file is complete as soon as it is there; the host makes what is not, up to its end.
 */
static bool complete(struct sim_map *m, uint64_t page)
{
	bool ok;

	if (m->kind == MACH_MAP_FRAMES)
		return atomic_load(&m->frames[page].complete);
	sim_files_lock();
	ok = m->file_page + page < m->file->size;
	sim_files_unlock();
	return ok;
}

static void check_granules(const struct sim_map *m, uint64_t page, uint64_t n)
{
	if (page % m->granule || n % m->granule)
		sim_fail("pages %llu and %llu more are not whole huge pages",
			 (unsigned long long)page, (unsigned long long)n);
}

int mach_tlb_open(const struct mach_span *span, uint64_t page, uint64_t n, uint32_t prot)
{
	struct sim_map *m = sim_map_of(span->map);

	sim_point();
	check_granules(m, page, n);
	if (!prot || (prot & ~span->prot))
		sim_fail("open with %#x where the area has %#x", prot, span->prot);
	if (sim_no_memory())
		return -ENOMEM;
	for (uint64_t i = page; i < page + n; i++) {
		struct sim_page *p = sim_span_page(span, i);

		if (m->frozen)
			prot = (prot & ~UF_PROT_WRITE) | UF_PROT_READ;
		else if (m->forked && (prot & UF_PROT_WRITE))
			m->forked[i] = false;
		if (!complete(m, i))
			sim_fail("page %llu is opened before it is complete",
				 (unsigned long long)i);
		sim_page_lock(p);
		sim_page_set_tlb(p, p->tlb | prot);
		sim_page_unlock(p);
	}
	sim_maybe_evict();
	sim_point();
	return 0;
}

int mach_tlb_open_set(const struct mach_span *span, uint64_t page, uint64_t n, const uint64_t *bits,
		      uint32_t prot)
{
	uint64_t granule = sim_map_of(span->map)->granule;
	int err = 0;

	check_granules(sim_map_of(span->map), page, n);
	for (uint64_t i = 0; i < n && err == 0; i += granule) {
		uint64_t count = 0;

		for (uint64_t j = i; j < i + granule; j++)
			count += bits[j / 64] >> (j % 64) & 1;
		if (count % granule)
			sim_fail("a part of the huge page at %llu is opened",
				 (unsigned long long)(page + i));
		if (count)
			err = mach_tlb_open(span, page + i, granule, prot);
	}
	return err;
}

void mach_tlb_limit(const struct mach_span *span, uint64_t page, uint64_t n, uint32_t prot)
{
	sim_point();
	check_granules(sim_map_of(span->map), page, n);
	for (uint64_t i = page; i < page + n; i++) {
		struct sim_page *p = sim_span_page(span, i);

		sim_page_lock(p);
		sim_page_set_tlb(p, p->tlb & prot);
		sim_page_unlock(p);
	}
	sim_point();
}

void mach_usage(uint64_t *mappings, uint64_t *budget)
{
	*mappings = atomic_load(&sim_open_pages);
	*budget = sim_config.pages;
}

/* ---- Fork -------------------------------------------------------------------------------------
 * The world is one process. What the code above must do for a fork is the same on both sides of it,
 * and is checked: the frames of a frozen map do not change, and are not let through for writing.
 */

static void freeze(struct sim_map *m)
{
	m->frozen = true;
	for (uint64_t i = 0; i < m->npages; i++) {
		struct sim_page *p = m->where[i] ? sim_page_must(m->where[i]) : NULL;

		m->forked[i] = true;
		if (!p)
			continue;
		sim_page_lock(p);
		sim_page_set_tlb(p, p->tlb & ~UF_PROT_WRITE);
		sim_page_unlock(p);
	}
}

void mach_fork_begin(void)
{
	sim_point();
	for (unsigned i = 0; i < MAX_MAPS; i++)
		if (maps[i].used && maps[i].kind == MACH_MAP_FRAMES)
			freeze(&maps[i]);
}

void mach_fork_parent(void)
{
	sim_point();
}

void mach_fork_child(void)
{
	sim_point();
}

bool mach_fork_pending(void)
{
	return false;
}

void mach_fork_unlock(struct mach_rwlock *l)
{
	mach_write_unlock(l);
}

void sim_map_unshare(struct sim_map *m)
{
	m->frozen = false;
}

int mach_map_unshare(const struct mach_span *span)
{
	struct sim_map *m = sim_map_of(span->map);

	sim_point();
	if (m->frozen && sim_no_memory())
		return -ENOMEM;
	sim_map_unshare(m);
	return 0;
}

uint64_t mach_pages_unshared(const struct mach_span *span, uint64_t page, uint64_t n)
{
	struct sim_map *m = sim_map_of(span->map);
	uint64_t i = 0;

	sim_point();
	while (i < n && !(m->forked && m->forked[page + i]))
		i++;
	return i;
}
