/*
 * evict.c - limits: what leaves memory, and where to. Of memory of this process only.
 *
 * Pages leave in the order in which they came, but one that came back once has another round. A
 * page that may be written to is filled write-protected: the first write is a message, and makes it
 * a changed one. A changed page is protected again, so that nobody writes to it any more, saved to
 * the spill file, and only then dropped. What came last leaves last, by which an instruction that
 * needs several pages gets all of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pager/internal.h"

#define LIMIT_MIN 128u /* pages */
#define BATCH	  32u  /* that leave together: neighbours in one call */
#define ASIDE	  8u   /* pages that are looked at on each side of one that faulted */
#define DENSE	  (1u << 16)
#define DENSE_OF  16 /* faults that its average goes by, about */

struct evict {
	uint64_t limit; /* pages */
	uint64_t *ring; /* who is here, the oldest at `head` */
	uint64_t size, head, n;
	bool tracks;
	bool full; /* the spill file is: has been said */
	/* How much there is beside pages that fault, of DENSE, on average. */
	int32_t dense;
	int spill, mem;
	uint32_t *slot; /* of each page in the spill file, counted from 1; 0: none */
	size_t slots_size;
	uint32_t next_slot, nfree, free_room;
	uint32_t *free_slots;
	char bounce[PAGE_4K] __attribute__((aligned(4096)));
};

bool evict_tracks(const struct guest *g)
{
	return g->evict && g->evict->tracks;
}

static int spill_open(const char *dir)
{
	char path[4096];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd >= 0 ? fd : -errno;
	snprintf(path, sizeof(path), "%s/userfault-spill-XXXXXX", dir);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(path);
	return fd;
}

int evict_begin(struct guest *g, const struct guest_config *c, char *why, size_t why_size)
{
	struct evict *v = aligned_alloc(4096, sizeof(*v));

	if (!v)
		return -ENOMEM;
	memset(v, 0, sizeof(*v));
	v->spill = v->mem = -1;
	g->evict = v;
	v->limit = c->limit / PAGE_4K > LIMIT_MIN ? c->limit / PAGE_4K : LIMIT_MIN;
	v->size = v->limit + BATCH;
	v->ring = malloc(v->size * sizeof(*v->ring));
	v->tracks = !c->readonly;
	v->dense = DENSE;
	v->slots_size = g->f->npages * sizeof(*v->slot);
	v->slot = mmap(NULL, v->slots_size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (v->slot == MAP_FAILED)
		v->slot = NULL;
	if (!v->ring || !v->slot) {
		snprintf(why, why_size, "out of memory");
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < g->f->nregions; i++)
		g->f->region[i].flags |= REGION_LIMITED;
	if (!v->tracks)
		return 0;
	if (c->spill) {
		v->spill = spill_open(c->spill);
		if (v->spill < 0) {
			snprintf(why, why_size, "no file for changed pages can be made in %s: %s",
				 c->spill, strerror(-v->spill));
			return v->spill;
		}
	}
	if (g->ops == &uffd_kernel) {
		v->mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
		if (v->mem < 0) {
			snprintf(why, why_size, "/proc/self/mem: %s", strerror(errno));
			return -errno;
		}
	}
	return 0;
}

void evict_end(struct guest *g)
{
	struct evict *v = g->evict;

	if (!v)
		return;
	g->evict = NULL;
	if (v->slot)
		munmap(v->slot, v->slots_size);
	if (v->spill >= 0)
		close(v->spill);
	if (v->mem >= 0)
		close(v->mem);
	free(v->free_slots);
	free(v->ring);
	free(v);
}

/* ---- the spill file
 */

static uint32_t slot_new(struct evict *v)
{
	return v->nfree ? v->free_slots[--v->nfree] : ++v->next_slot;
}

static void slot_free(struct evict *v, uint32_t slot)
{
	if (v->nfree == v->free_room) {
		uint32_t room = v->free_room ? 2 * v->free_room : 1024;
		uint32_t *more = realloc(v->free_slots, room * sizeof(*more));

		if (!more)
			return; /* its place in the file is lost, no more */
		v->free_slots = more;
		v->free_room = room;
	}
	v->free_slots[v->nfree++] = slot;
}

void evict_forget(struct guest *g, uint64_t page)
{
	struct evict *v = g->evict;

	if (!v || !v->slot[page])
		return;
	slot_free(v, v->slot[page]);
	v->slot[page] = 0;
}

static off_t slot_at(const struct evict *v, uint64_t page)
{
	return (off_t)(v->slot[page] - 1) * (off_t)PAGE_4K;
}

/* Contents of a page that nobody can write to now. -EIO: it is not there any more. */
static int read_page(struct guest *g, uint64_t addr)
{
	struct evict *v = g->evict;
	ssize_t n;

	if (v->mem < 0) {
		memcpy(v->bounce, (const void *)(uintptr_t)addr, PAGE_4K);
		return 0;
	}
	n = pread(v->mem, v->bounce, PAGE_4K, (off_t)addr);
	return n == (ssize_t)PAGE_4K ? 0 : -EIO;
}

static int save(struct guest *g, uint64_t page, uint64_t addr)
{
	struct evict *v = g->evict;
	bool fresh = !v->slot[page];
	ssize_t n;
	int err = read_page(g, addr);

	if (err)
		return err;
	if (fresh)
		v->slot[page] = slot_new(v);
	n = pwrite(v->spill, v->bounce, PAGE_4K, slot_at(v, page));
	if (n == (ssize_t)PAGE_4K) {
		count(g, GUEST_SPILLED, 1);
		return 0;
	}
	err = n < 0 ? -errno : -ENOSPC;
	if (fresh)
		evict_forget(g, page);
	return err;
}

int evict_load(struct guest *g, uint64_t page, const void **contents)
{
	struct evict *v = g->evict;
	ssize_t n;

	if (!v || !v->slot[page])
		return -EIO;
	n = pread(v->spill, v->bounce, PAGE_4K, slot_at(v, page));
	if (n != (ssize_t)PAGE_4K)
		return n < 0 ? -errno : -EIO;
	*contents = v->bounce;
	return 0;
}

/* ---- who is here
 */

static void push(struct evict *v, uint64_t page)
{
	if (v->n == v->size) {
		uint64_t size = 2 * v->size;
		uint64_t *ring = malloc(size * sizeof(*ring));

		if (!ring)
			return; /* it stays for ever */
		for (uint64_t i = 0; i < v->n; i++)
			ring[i] = v->ring[(v->head + i) % v->size];
		free(v->ring);
		v->ring = ring;
		v->size = size;
		v->head = 0;
	}
	v->ring[(v->head + v->n++) % v->size] = page;
}

static uint64_t pop(struct evict *v)
{
	uint64_t page = v->ring[v->head];

	v->head = (v->head + 1) % v->size;
	v->n--;
	return page;
}

void evict_added(struct guest *g, uint64_t page)
{
	push(g->evict, page);
}

void evict_protected(struct guest *g, uint64_t page, uint64_t n)
{
	for (uint64_t i = page; i < page + n; i++)
		page_flag(g, i, PAGE_PROTECTED, 0);
}

static bool is_here(struct guest *g, uint64_t page)
{
	return page_state(g, page) == PAGE_PRESENT || page_has(g, page, PAGE_HERE);
}

/* A write to a protected page: from now on it is a changed one. */
bool evict_written(struct guest *g, uint64_t page)
{
	const struct guest_region *r = region_of(g, page);

	if (!r || !is_here(g, page)) {
		/* It has left meanwhile: whoever writes asks for it. */
		if (r)
			fill_wake(g, page_addr(r, page), r->page_size);
		return true;
	}
	page_flag(g, page, PAGE_DIRTY, PAGE_PROTECTED);
	if (fill_unprotect(g, page_addr(r, page), r->page_size))
		fill_wake(g, page_addr(r, page), r->page_size);
	return true;
}

/* ---- what is filled along with a page
 */

static uint32_t here_in(struct guest *g, uint64_t from, uint64_t to)
{
	uint32_t n = 0;

	for (uint64_t i = from; i < to; i++)
		n += is_here(g, i);
	return n;
}

/*
 * Is what lies beside pages that fault in memory more often than what lies anywhere? Then the
 * program goes through its memory in some order, or in parts of it, and neighbours are worth their
 * place.
 */
void evict_faulted(struct guest *g, const struct guest_region *r, uint64_t page)
{
	struct evict *v = g->evict;
	uint64_t end = region_end(r), block = g->feed->s->chunk / PAGE_4K, from, to;
	uint32_t most, n;

	block = block > ASIDE ? block : ASIDE;
	from = page - r->first > ASIDE ? page - ASIDE : r->first;
	to = end - page > ASIDE + 1 ? page + 1 + ASIDE : end;
	most = here_in(g, from, page);
	n = here_in(g, page + 1, to);
	most = n > most ? n : most;
	/* And beyond those that come and go with it. */
	from = page - page_offset(r, page) / PAGE_4K % block;
	to = from + block;
	if (from <= page && from >= r->first + ASIDE) {
		n = here_in(g, from - ASIDE, from);
		most = n > most ? n : most;
	}
	if (to + ASIDE <= end) {
		n = here_in(g, to, to + ASIDE);
		most = n > most ? n : most;
	}
	v->dense += ((int32_t)(most * (DENSE / ASIDE)) - v->dense) / DENSE_OF;
}

bool evict_neighbours(const struct guest *g)
{
	uint64_t all = g->f->npages;
	uint64_t here = atomic_load_explicit(&g->f->resident, memory_order_relaxed);
	double gone = here < all ? 1 - (double)here / (double)all : 0;

	/* Half way between either side of a page anywhere, and all there is. */
	return g->evict->dense >= (1 - gone * gone / 2) * (DENSE - DENSE / 64);
}

/* ---- leaving
 */

static int by_page(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Saves pages [page, page + n), all changed. How many are saved from the first on. */
static uint64_t save_run(struct guest *g, const struct guest_region *r, uint64_t page, uint64_t n)
{
	struct evict *v = g->evict;
	uint64_t at = 0;
	int err = fill_protect(g, page_addr(r, page), n * PAGE_4K);

	while (!err && at < n) {
		err = save(g, page + at, page_addr(r, page + at));
		/* Dropped by the program itself: there is nothing to save. */
		if (err == -EIO)
			err = 0;
		if (!err)
			at++;
	}
	if (err) {
		if (!v->full)
			engine_say(g->e, ENGINE_ERROR,
				   "%s: changed pages cannot be saved (%s); they stay in memory, "
				   "beyond "
				   "the limit",
				   g->f->name, strerror(-err));
		v->full = true;
		fill_unprotect(g, page_addr(r, page + at), (n - at) * PAGE_4K);
	}
	return at;
}

/* Pages [page, page + n), all changed or all not, leave. */
static void leave(struct guest *g, const struct guest_region *r, uint64_t page, uint64_t n)
{
	struct evict *v = g->evict;
	uint64_t addr = page_addr(r, page), begun = now_ns(), all = n;
	bool dirty = page_has(g, page, PAGE_DIRTY);

	if (dirty)
		n = v->spill >= 0 ? save_run(g, r, page, n) : 0;
	/* Those that cannot leave have another round. */
	for (uint64_t i = page + n; i < page + all; i++)
		push(v, i);
	if (!n)
		return;
	if (g->ops->madvise((void *)(uintptr_t)addr, n * PAGE_4K, MADV_DONTNEED)) {
		for (uint64_t i = page; i < page + n; i++)
			push(v, i);
		if (dirty)
			fill_unprotect(g, addr, n * PAGE_4K);
		return;
	}
	for (uint64_t i = page; i < page + n; i++)
		page_evicted(g, i, v->slot[i] != 0);
	count(g, GUEST_EVICTED, n);
	PROBE(pager_evict, g->f->number, addr, n * PAGE_4K, dirty);
	report(g->e, TRACE_EVICT, g->f->number, 0, begun, addr, n * PAGE_4K, now_ns() - begun, 0);
}

/* The oldest, in order of their addresses. */
static unsigned victims(struct guest *g, uint64_t *page, unsigned max)
{
	struct evict *v = g->evict;
	uint64_t looked = v->n;
	unsigned n = 0;

	while (n < max && looked--) {
		uint64_t p = pop(v);

		if (!is_here(g, p))
			continue;
		if (page_has(g, p, PAGE_USED)) {
			page_flag(g, p, 0, PAGE_USED);
			push(v, p);
			continue;
		}
		page[n++] = p;
	}
	qsort(page, n, sizeof(*page), by_page);
	return n;
}

static void leave_some(struct guest *g)
{
	uint64_t page[BATCH];
	unsigned n = victims(g, page, BATCH), to;

	for (unsigned at = 0; at < n; at = to) {
		const struct guest_region *r = region_of(g, page[at]);

		to = at + 1;
		if (!r)
			continue;
		while (to < n && page[to] == page[to - 1] + 1 && page[to] < region_end(r) &&
		       page_has(g, page[to], PAGE_DIRTY) == page_has(g, page[at], PAGE_DIRTY))
			to++;
		leave(g, r, page[at], to - at);
	}
}

void evict_room(struct guest *g, uint64_t n)
{
	struct evict *v = g->evict;
	unsigned tries = 0;

	while (v->n + n > v->limit && tries++ < 2 + n / BATCH)
		leave_some(g);
}
