/* world.c - the window of pages: native memory, what is mapped where, what can be asked. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "machine/sim/world.h"

#define TASK_SIZE 0x7ffffffff000ull

struct sim_page *sim_pages;
_Atomic uint64_t sim_open_pages;

uint64_t mach_task_size(void)
{
	return TASK_SIZE;
}

struct sim_page *sim_page_at(uint64_t addr)
{
	if (addr < SIM_BASE || (addr - SIM_BASE) / UF_PAGE_SIZE >= sim_config.pages)
		return NULL;
	return &sim_pages[(addr - SIM_BASE) / UF_PAGE_SIZE];
}

struct sim_page *sim_page_must(uint64_t addr)
{
	struct sim_page *p = sim_page_at(addr);

	if (!p)
		sim_fail("address %#llx is outside of the window", (unsigned long long)addr);
	return p;
}

uint64_t sim_page_addr(const struct sim_page *p)
{
	return SIM_BASE + (uint64_t)(p - sim_pages) * UF_PAGE_SIZE;
}

void sim_page_lock(struct sim_page *p)
{
	while (atomic_exchange_explicit(&p->lock, 1, memory_order_acquire))
		mach_relax();
}

void sim_page_unlock(struct sim_page *p)
{
	atomic_store_explicit(&p->lock, 0, memory_order_release);
}

void sim_page_set_tlb(struct sim_page *p, uint32_t tlb)
{
	if (!p->tlb != !tlb)
		atomic_fetch_add(&sim_open_pages, tlb ? 1 : (uint64_t)-1);
	p->tlb = tlb;
}

struct sim_frame *sim_frames_new(uint64_t n)
{
	struct sim_frame *f = calloc(n, sizeof(*f));

	if (!f)
		sim_fail("out of memory");
	for (uint64_t i = 0; i < n; i++)
		f[i].complete = true;
	return f;
}

static void page_clear(struct sim_page *p, bool leaves)
{
	sim_page_lock(p);
	if (sim_in_place(p) && !leaves) {
		sim_files_lock();
		sim_file_unmap(p);
		sim_files_unlock();
	}
	if (p->kind == SIM_MANAGED)
		p->map->where[p->index] = 0;
	free(p->native);
	p->native = NULL;
	p->map = NULL;
	sim_page_set_tlb(p, 0);
	p->kind = SIM_HOLE;
	sim_page_unlock(p);
}

void sim_page_clear(struct sim_page *p)
{
	page_clear(p, false);
}

void sim_page_leave(struct sim_page *p)
{
	page_clear(p, true);
}

void sim_world_start(void)
{
	sim_pages = calloc(sim_config.pages, sizeof(*sim_pages));
	if (!sim_pages)
		sim_fail("out of memory");
}

/* ---- The program's own calls ---------------------------------------------------------------- */

static void each_page(uint64_t addr, uint64_t len, void (*fn)(struct sim_page *, const void *),
		      const void *arg)
{
	for (uint64_t at = addr; at < addr + len; at += UF_PAGE_SIZE)
		fn(sim_page_must(at), arg);
}

static void map_page(struct sim_page *p, const void *like)
{
	sim_page_clear(p);
	sim_page_lock(p);
	p->kind = SIM_NATIVE;
	p->vma = *(const struct mach_vma *)like;
	sim_page_unlock(p);
}

void sim_mmap_kind(uint64_t addr, uint64_t len, const struct mach_vma *like)
{
	sim_point();
	each_page(addr, len, map_page, like);
}

void sim_mmap(uint64_t addr, uint64_t len, uint32_t prot)
{
	sim_mmap_kind(addr, len,
		      &(struct mach_vma){.prot = prot,
					 .kind = MACH_VMA_ANON,
					 .maywrite = true,
					 .page_shift = UF_PAGE_SHIFT});
}

static void protect_page(struct sim_page *p, const void *prot)
{
	sim_page_lock(p);
	if (p->kind == SIM_NATIVE)
		p->vma.prot = *(const uint32_t *)prot;
	sim_page_unlock(p);
}

void sim_mprotect(uint64_t addr, uint64_t len, uint32_t prot)
{
	sim_point();
	each_page(addr, len, protect_page, &prot);
}

static void unmap_page(struct sim_page *p, const void *arg)
{
	(void)arg;
	sim_page_clear(p);
}

void sim_munmap(uint64_t addr, uint64_t len)
{
	sim_point();
	each_page(addr, len, unmap_page, NULL);
}

static void zap_page(struct sim_page *p, const void *arg)
{
	(void)arg;
	sim_page_lock(p);
	if (p->kind == SIM_NATIVE) {
		sim_files_lock();
		free(p->native);
		p->native = NULL;
		p->mapped = false;
		sim_files_unlock();
	}
	sim_page_unlock(p);
}

void sim_zap(uint64_t addr, uint64_t len)
{
	sim_point();
	each_page(addr, len, zap_page, NULL);
}

/* ---- What can be asked ---------------------------------------------------------------------- */

uint32_t sim_tlb(uint64_t addr)
{
	struct sim_page *p = sim_page_at(addr);
	uint32_t prot = 0;

	if (!p)
		return 0;
	sim_page_lock(p);
	if (p->kind == SIM_NATIVE)
		prot = p->vma.prot;
	else if (p->kind == SIM_MANAGED)
		prot = p->tlb;
	sim_page_unlock(p);
	return prot;
}

static enum sim_page_kind kind_at(uint64_t addr)
{
	struct sim_page *p = sim_page_at(addr);
	enum sim_page_kind kind = SIM_HOLE;

	if (p) {
		sim_page_lock(p);
		kind = p->kind;
		sim_page_unlock(p);
	}
	return kind;
}

bool sim_is_managed(uint64_t addr)
{
	return kind_at(addr) == SIM_MANAGED;
}

bool sim_is_mapped(uint64_t addr)
{
	return kind_at(addr) != SIM_HOLE;
}

const uint64_t *sim_peek(uint64_t addr)
{
	struct sim_page *p = sim_page_at(addr);

	if (!p || p->kind == SIM_HOLE)
		return NULL;
	if (sim_in_place(p)) {
		const struct sim_frame *f = sim_file_shown(p);

		return f ? f->word : NULL;
	}
	if (p->kind == SIM_NATIVE)
		return p->native ? p->native->word : NULL;
	if (p->map->aside[p->index])
		return p->map->aside[p->index]->word;
	return p->map->frames[p->index].complete ? p->map->frames[p->index].word : NULL;
}

static void evict_page(struct sim_page *p)
{
	sim_page_lock(p);
	if (p->kind == SIM_MANAGED)
		sim_page_set_tlb(p, sim_random(2) ? 0 : p->tlb & ~UF_PROT_WRITE);
	sim_page_unlock(p);
}

void sim_evict_all(void)
{
	for (uint64_t i = 0; i < sim_config.pages; i++) {
		sim_page_lock(&sim_pages[i]);
		if (sim_pages[i].kind == SIM_MANAGED)
			sim_page_set_tlb(&sim_pages[i], 0);
		sim_page_unlock(&sim_pages[i]);
	}
}

void sim_maybe_evict(void)
{
	if (!sim_chance(sim_config.evict))
		return;
	/* Most of a large window is closed anyway. */
	for (unsigned i = 0; i <= sim_config.pages / 1024; i++)
		evict_page(&sim_pages[sim_random(sim_config.pages)]);
}

/* ---- machine.h: the host's mappings --------------------------------------------------------- */

static const struct mach_vma special = {.kind = MACH_VMA_SPECIAL};

struct look {
	enum sim_page_kind kind;
	struct mach_vma vma;
	uint64_t file_page;
};

static struct look look_at(uint64_t i)
{
	struct sim_page *p = &sim_pages[i];
	struct look look;

	sim_page_lock(p);
	look.kind = p->kind;
	look.vma = p->kind == SIM_NATIVE ? p->vma : special;
	look.file_page = p->kind == SIM_NATIVE && p->file ? p->file_page : 0;
	sim_page_unlock(p);
	return look;
}

/* Is page i of the window of the same mapping as page `from`, of which a was found? */
static bool same_vma(const struct look *a, uint64_t from, uint64_t i)
{
	struct look b = look_at(i);

	if (a->vma.ino != b.vma.ino || (a->vma.ino && a->file_page + i != b.file_page + from))
		return false;
	return a->kind == b.kind && a->vma.prot == b.vma.prot && a->vma.kind == b.vma.kind &&
	       a->vma.shared == b.vma.shared && a->vma.maywrite == b.vma.maywrite &&
	       a->vma.growsdown == b.vma.growsdown;
}

int mach_vma_next(uint64_t addr, struct mach_vma *vma)
{
	uint64_t i = addr < SIM_BASE ? 0 : (addr - SIM_BASE) / UF_PAGE_SIZE, first, last;
	struct look here;

	sim_point();
	while (i < sim_config.pages && look_at(i).kind == SIM_HOLE)
		i++;
	if (i >= sim_config.pages)
		return -ENOENT;
	here = look_at(i);
	for (last = i + 1; last < sim_config.pages && same_vma(&here, i, last); last++)
		;
	first = i;
	while (first > 0 && same_vma(&here, i, first - 1))
		first--;
	*vma = here.vma;
	vma->file_page = here.file_page - (here.vma.ino ? i - first : 0);
	vma->start = SIM_BASE + first * UF_PAGE_SIZE;
	vma->end = SIM_BASE + last * UF_PAGE_SIZE;
	return 0;
}

int mach_munmap(uint64_t addr, uint64_t len)
{
	if (sim_no_memory())
		return -ENOMEM;
	sim_munmap(addr, len);
	return 0;
}

int mach_mmap_over(uint64_t addr, uint64_t len, int prot, int flags, int fd, uint64_t off)
{
	struct mach_vma like = {
		.prot = (uint32_t)prot, .maywrite = true, .page_shift = UF_PAGE_SHIFT};

	if (!(flags & MAP_FIXED))
		sim_fail("mach_mmap_over without MAP_FIXED");
	if (sim_no_memory())
		return -ENOMEM;
	like.shared = flags & MAP_SHARED;
	if (flags & MAP_ANONYMOUS)
		like.kind = like.shared ? MACH_VMA_SHMEM : MACH_VMA_ANON;
	else if (!sim_file_of_fd(fd))
		return -EBADF;
	if (flags & MAP_ANONYMOUS)
		sim_mmap_kind(addr, len, &like);
	else
		sim_mmap_file(addr, len, like.prot, like.shared, sim_file_of_fd(fd),
			      off / UF_PAGE_SIZE);
	return 0;
}

/* The first page of n holes at or after page i of the window. */
static uint64_t find_holes(uint64_t i, uint64_t n)
{
	uint64_t run = 0;

	for (; i < sim_config.pages && run < n; i++)
		run = sim_pages[i].kind == SIM_HOLE ? run + 1 : 0;
	return run == n ? i - n : sim_config.pages;
}

/* The hint counts when the place is free, as with mmap(2). */
int mach_reserve(uint64_t hint, uint64_t len, uint64_t *addr)
{
	struct sim_page *at = sim_page_at(hint);
	uint64_t n = len / UF_PAGE_SIZE, page;

	page = at ? (uint64_t)(at - sim_pages) : sim_config.pages;
	if (!at || find_holes(page, n) != page)
		page = find_holes(0, n);
	if (page >= sim_config.pages || sim_no_memory())
		return -ENOMEM;
	*addr = SIM_BASE + page * UF_PAGE_SIZE;
	sim_mmap(*addr, len, 0);
	return 0;
}

bool mach_vma_locked(uint64_t addr)
{
	(void)addr;
	return false;
}
