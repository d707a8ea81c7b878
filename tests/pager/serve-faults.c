/*
 * serve-faults.c - every page of a region has what the source has: fetched, peeked at, zero; in
 * random order, by several threads, with and without prefetch.
 */
#include "rig.h"

#include <sys/mman.h>

#define PAGES	2048
#define THREADS 4

static struct rig r;

static void *walker(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg, at = seed * 7919 % PAGES;

	for (unsigned i = 0; i < PAGES; i++) {
		at = (at + 1237) % PAGES; /* 1237 and 2048 have no common divisor */
		CHECK(!fake_check(r.fake, at * PAGE, r.mem + at * PAGE));
	}
	return NULL;
}

static void run(bool peek, bool prefetch, uint32_t chunk, unsigned near)
{
	pthread_t t[THREADS];
	struct fake *f = fake_new(PAGES * PAGE - 100, chunk, peek);

	f->zero_from = 300 * PAGE;
	f->zero_to = 900 * PAGE;
	if (peek)
		memset(f->memory + f->zero_from, 0, f->zero_to - f->zero_from);
	rig_init(&r, f, PAGES * PAGE);
	r.config.no_prefetch = !prefetch;
	r.options.near = near;
	rig_begin(&r);
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&t[i], NULL, walker, (void *)(i + 1)));
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	rig_until(atomic_load(&guest_shared(r.g)->waiting) == 0);
	rig_until(atomic_load(&guest_shared(r.g)->resident) == PAGES);
	CHECK(rig_count(&r, GUEST_FILLED_DEMAND) + rig_count(&r, GUEST_FILLED_NEAR) +
		      rig_count(&r, GUEST_FILLED_AHEAD) + rig_count(&r, GUEST_EXISTED) >=
	      PAGES);
	/* Those that share a chunk with others may have been fetched with them. */
	CHECK(rig_count(&r, GUEST_FILLED_ZERO) >= 600 - 2 * 15);
	if (peek)
		CHECK(atomic_load(&f->fetches) == 0);
	rig_end(&r);
}

int main(void)
{
	rig_need_uffd();
	for (unsigned i = 0; i < 8; i++)
		run(i & 1, i & 2, i & 4 ? 65536 : 4096, i & 1 ? 1 : 0);
	return 0;
}
