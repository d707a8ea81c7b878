/* registry.c - which map stands where in this address space. */
#include "machine/host/internal.h"

/* More than any host lets a process have mappings. */
#define SEGMENTS_MAX ((uint32_t)1 << 20)

#define CHUNK_MIN  64
#define CHUNKS_MAX 8192

struct host_registry registry;

int registry_init(void)
{
	long at = host_map_private(SEGMENTS_MAX * sizeof(struct host_segment),
				   PROT_READ | PROT_WRITE);

	if (sys_failed(at))
		return (int)at;
	registry.segments = (struct host_segment *)at;
	return 0;
}

void registry_after_fork(void)
{
	atomic_store(&registry.lock.word, 0);
	atomic_store(&registry.lock.writers_waiting, 0);
}

bool registry_room(uint32_t n)
{
	return registry.count + n <= SEGMENTS_MAX;
}

uint32_t registry_find(uint64_t addr)
{
	uint32_t lo = 0, hi = registry.count;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct host_segment *s = &registry.segments[mid];

		if (s->addr + s->npages * UF_PAGE_SIZE <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void insert_at(uint32_t i, struct host_segment s)
{
	memmove(&registry.segments[i + 1], &registry.segments[i], (registry.count - i) * sizeof(s));
	registry.segments[i] = s;
	registry.count++;
}

void registry_add(const struct mach_span *span)
{
	insert_at(registry_find(span->addr), (struct host_segment){.addr = span->addr,
								   .npages = span->npages,
								   .first = span->first,
								   .map = span->map->id});
}

void registry_remove(uint64_t addr, uint64_t npages)
{
	uint64_t end = addr + npages * UF_PAGE_SIZE;
	uint32_t i = registry_find(addr), from, last;

	if (i == registry.count || registry.segments[i].addr >= end)
		return;
	if (registry.segments[i].addr < addr) {
		struct host_segment tail = registry.segments[i];
		uint64_t keep = (addr - tail.addr) >> UF_PAGE_SHIFT;

		registry.segments[i].npages = keep;
		tail.addr = addr;
		tail.first += keep;
		tail.npages -= keep;
		insert_at(++i, tail);
	}
	for (from = last = i; last < registry.count && registry.segments[last].addr < end; last++) {
		struct host_segment *s = &registry.segments[last];
		uint64_t gone = (end - s->addr) >> UF_PAGE_SHIFT;

		if (gone < s->npages) {
			s->addr = end;
			s->first += gone;
			s->npages -= gone;
			break;
		}
	}
	memmove(&registry.segments[from], &registry.segments[last],
		(registry.count - last) * sizeof(*registry.segments));
	registry.count -= last - from;
}

/* A map of any size has at most CHUNKS_MAX chunks, so that random faults cannot eat the budget. */
static uint64_t chunk_pages(uint64_t npages, uint64_t chunk)
{

	while (chunk * CHUNKS_MAX < npages)
		chunk *= 2;
	return chunk;
}

struct host_map *registry_new_map(uint64_t npages, const struct trap_ops *trap, uint64_t granule)
{
	struct host_map *hm = arena_alloc(sizeof(*hm)), *next;

	if (!hm)
		return NULL;
	hm->tlb = arena_alloc(npages);
	if (!hm->tlb) {
		arena_free(hm, sizeof(*hm));
		return NULL;
	}
	hm->npages = npages;
	hm->trap = trap;
	hm->chunk = chunk_pages(npages, granule > CHUNK_MIN ? granule : CHUNK_MIN);
	mach_write_lock(&registry.lock);
	hm->next = registry.maps;
	next = arena_at(hm->next);
	if (next)
		next->prev = arena_ref(hm);
	registry.maps = arena_ref(hm);
	mach_write_unlock(&registry.lock);
	return hm;
}

void registry_drop_map(struct host_map *hm)
{
	struct host_map *prev, *next;

	mach_write_lock(&registry.lock);
	prev = arena_at(hm->prev);
	next = arena_at(hm->next);
	if (prev)
		prev->next = hm->next;
	else
		registry.maps = hm->next;
	if (next)
		next->prev = hm->prev;
	mach_write_unlock(&registry.lock);
	atomic_fetch_sub(&registry.splits, hm->splits);
	arena_free(hm->tlb, hm->npages);
	arena_free(hm, sizeof(*hm));
}

uint64_t registry_mappings(void)
{
	return __atomic_load_n(&registry.count, __ATOMIC_RELAXED) +
	       atomic_load_explicit(&registry.splits, memory_order_relaxed) +
	       atomic_load_explicit(&registry.asides, memory_order_relaxed);
}
