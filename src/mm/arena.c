/*
 * arena.c - allocation inside the arena: free lists of powers of two below a page, runs of pages
 * above, kept in address order so that neighbours join.
 */
#include "mm/arena.h"

#include <string.h>

#define CLASS_MIN_SHIFT 4
#define CLASS_MAX_SHIFT 11
#define CLASSES		(CLASS_MAX_SHIFT - CLASS_MIN_SHIFT + 1)
/* Freed runs of at least this many bytes give their memory back. */
#define TRIM_BYTES (64 * UF_PAGE_SIZE)

struct arena_head {
	struct mach_lock lock;
	uint32_t pad;
	uint64_t brk; /* bytes from the base; beyond it nothing was ever used */
	uint64_t used;
	uf_ref free[CLASSES]; /* each free block's first word links to the next */
	uf_ref runs;	      /* free page runs, by address */
};

struct free_run {
	uint64_t pages;
	uf_ref next;
};

static struct arena_head *head(void)
{
	return (struct arena_head *)(mach_arena_base + ARENA_UNIT);
}

/* The thread that is about to fork holds the lock, and goes on to use the arena. */
static _Atomic uint32_t holder;

static bool lock(struct arena_head *h)
{
	uint32_t held = atomic_load_explicit(&holder, memory_order_relaxed);

	if (held != 0 && held == mach_tid())
		return false;
	mach_lock(&h->lock);
	return true;
}

static void unlock(struct arena_head *h, bool locked)
{
	if (locked)
		mach_unlock(&h->lock);
}

void arena_hold(void)
{
	mach_lock(&head()->lock);
	atomic_store(&holder, mach_tid());
}

void arena_take_over(void)
{
	atomic_store(&holder, mach_tid());
}

void arena_release(void)
{
	atomic_store(&holder, 0);
	mach_unlock(&head()->lock);
}

void arena_init(void)
{
	head()->brk = UF_PAGE_SIZE;
}

static unsigned class_of(uint64_t len)
{
	unsigned shift = CLASS_MIN_SHIFT;

	while (((uint64_t)1 << shift) < len)
		shift++;
	return shift;
}

static uint64_t pages_of(uint64_t len)
{
	return (len + UF_PAGE_SIZE - 1) >> UF_PAGE_SHIFT;
}

static void *grow(struct arena_head *h, uint64_t bytes)
{
	void *p;

	if (bytes > mach_arena_size || h->brk > mach_arena_size - bytes)
		return NULL;
	p = mach_arena_base + h->brk;
	h->brk += bytes;
	return p;
}

/* First fit; the rest of a larger run stays free. Memory beyond brk is zero already. */
static void *take_run(struct arena_head *h, uint64_t pages, bool *zeroed)
{
	uf_ref *link = &h->runs;
	struct free_run *run;

	*zeroed = false;
	while ((run = arena_at(*link)) != NULL) {
		if (run->pages >= pages) {
			uint64_t rest = run->pages - pages;

			if (rest != 0) {
				struct free_run *tail =
					(void *)((char *)run + pages * UF_PAGE_SIZE);

				tail->pages = rest;
				tail->next = run->next;
				*link = arena_ref(tail);
			} else {
				*link = run->next;
			}
			return run;
		}
		link = &run->next;
	}
	*zeroed = true;
	return grow(h, pages * UF_PAGE_SIZE);
}

static void give_run(struct arena_head *h, void *p, uint64_t pages)
{
	struct free_run *run = p, *prev = NULL, *next;
	uf_ref ref = arena_ref(p), *link = &h->runs;

	while (*link != 0 && *link < ref) {
		prev = arena_at(*link);
		link = &prev->next;
	}
	next = arena_at(*link);
	run->pages = pages;
	run->next = *link;
	*link = ref;
	if (next && (char *)run + run->pages * UF_PAGE_SIZE == (char *)next) {
		run->pages += next->pages;
		run->next = next->next;
	}
	if (prev && (char *)prev + prev->pages * UF_PAGE_SIZE == (char *)run) {
		prev->pages += run->pages;
		prev->next = run->next;
	}
}

/* A class's blocks are cut from a page at a time. */
static void *take_block(struct arena_head *h, unsigned shift)
{
	uf_ref *list = &h->free[shift - CLASS_MIN_SHIFT];
	uint64_t size = (uint64_t)1 << shift;
	void *p = arena_at(*list);
	bool zeroed;

	if (!p) {
		char *page = take_run(h, 1, &zeroed);

		if (!page)
			return NULL;
		for (uint64_t off = UF_PAGE_SIZE; off > 0; off -= size) {
			p = page + off - size;
			*(uf_ref *)p = *list;
			*list = arena_ref(p);
		}
	}
	*list = *(uf_ref *)p;
	return p;
}

void *arena_alloc(uint64_t len)
{
	struct arena_head *h = head();
	bool zeroed = false, locked;
	uint64_t size;
	void *p;

	if (len == 0 || len > mach_arena_size)
		return NULL;
	locked = lock(h);
	if (len <= (uint64_t)1 << CLASS_MAX_SHIFT) {
		size = (uint64_t)1 << class_of(len);
		p = take_block(h, class_of(len));
	} else {
		size = pages_of(len) * UF_PAGE_SIZE;
		p = take_run(h, pages_of(len), &zeroed);
	}
	if (p)
		h->used += size;
	unlock(h, locked);
	if (p && !zeroed)
		memset(p, 0, size);
	return p;
}

void arena_free(void *p, uint64_t len)
{
	struct arena_head *h = head();
	unsigned shift;
	bool locked;

	if (!p)
		return;
	if (len > TRIM_BYTES)
		mach_arena_trim(p, pages_of(len) * UF_PAGE_SIZE);
	locked = lock(h);
	if (len <= (uint64_t)1 << CLASS_MAX_SHIFT) {
		shift = class_of(len);
		*(uf_ref *)p = h->free[shift - CLASS_MIN_SHIFT];
		h->free[shift - CLASS_MIN_SHIFT] = arena_ref(p);
		h->used -= (uint64_t)1 << shift;
	} else {
		give_run(h, p, pages_of(len));
		h->used -= pages_of(len) * UF_PAGE_SIZE;
	}
	unlock(h, locked);
}

uint64_t arena_used(void)
{
	struct arena_head *h = head();
	bool locked = lock(h);
	uint64_t used = h->used;

	unlock(h, locked);
	return used;
}
