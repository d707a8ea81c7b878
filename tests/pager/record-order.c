/*
 * record-order.c - the order of first touches is recorded, and ends by itself; memory that is
 * prefetched by it comes in that order, within a bandwidth; all of it is there after uf_pager_wait.
 */
#include "rig.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <userfault/pager.h>

#include "pager/order.h"

#define PAGES	2048
#define TOUCHED 512

static size_t nth(size_t i)
{
	return i * 1237 % PAGES; /* they have no common divisor */
}

static int fill(void *arg, uint64_t offset, void *buf, size_t len)
{
	for (size_t at = 0; at < len; at += PAGE)
		fake_page(arg, offset + at, (char *)buf + at);
	return 0;
}

static void record(const char *path, struct fake *f)
{
	struct rig r;
	struct order o;

	rig_init(&r, f, PAGES * PAGE);
	r.config.record = path;
	rig_begin(&r);
	CHECK(atomic_load(&guest_shared(r.g)->recording));
	for (size_t i = 0; i < TOUCHED; i++)
		CHECK(!fake_check(f, nth(i) * PAGE, r.mem + nth(i) * PAGE));
	CHECK(rig_count(&r, GUEST_FAULTS) == TOUCHED);
	rig_until(!atomic_load(&guest_shared(r.g)->recording));
	CHECK(rig_count(&r, GUEST_FILLED_AHEAD) == 0 && rig_count(&r, GUEST_FILLED_NEAR) == 0);
	/* What comes later is not part of it. */
	CHECK(!fake_check(f, nth(1000) * PAGE, r.mem + nth(1000) * PAGE));
	CHECK(!order_read(path, &o, r.why, sizeof(r.why)));
	CHECK(o.source_size == PAGES * PAGE);
	size_t i = 0;
	for (size_t n = 0; n < o.count; n++) {
		for (uint64_t at = 0; at < o.run[n].len; at += PAGE)
			CHECK(o.run[n].offset + at == nth(i++) * PAGE);
	}
	CHECK(i == TOUCHED);
	order_free(&o);
	rig_end(&r);
}

static void replay(const char *path)
{
	struct rig r;

	rig_init(&r, fake_new(PAGES * PAGE, 4096, true), PAGES * PAGE);
	r.config.prefetch = path;
	r.config.no_prefetch = false;
	rig_begin(&r);
	for (size_t i = 0; i < TOUCHED; i++)
		CHECK(!fake_check(r.fake, nth(i) * PAGE, r.mem + nth(i) * PAGE));
	rig_until(rig_count(&r, GUEST_FILLED_AHEAD) + rig_count(&r, GUEST_FILLED_DEMAND) ==
		  TOUCHED);
	fprintf(stderr, "%llu faults for %d pages\n",
		(unsigned long long)rig_count(&r, GUEST_FAULTS), TOUCHED);
	CHECK(rig_count(&r, GUEST_FAULTS) < TOUCHED / 10);
	CHECK(atomic_load(&guest_shared(r.g)->ahead_done) == TOUCHED * PAGE);
	rig_end(&r);
}

static void library(const char *path, struct fake *f)
{
	struct uf_pager_options po = UF_PAGER_OPTIONS;
	struct uf_paged_options o = UF_PAGED_OPTIONS;
	struct uf_paged_stats stats;
	struct uf_source *source;
	struct uf_pager *pager;
	struct uf_paged *paged;
	void *addr = NULL;
	uint64_t begun;

	po.bandwidth = 16 << 20;
	CHECK(!uf_pager_new(&po, &pager));
	CHECK(!uf_source_new(pager, PAGES * PAGE, 16384, 2, fill, f, &source));
	o.flags = UF_PAGED_KERNEL;
	o.prefetch = path;
	begun = rig_ms();
	CHECK(!uf_pager_map(pager, source, 0, PAGES * PAGE, &o, &addr, &paged));
	CHECK(uf_source_close(source) == -EBUSY);
	CHECK(!uf_pager_wait(paged));
	/* 8 MiB at 16 MiB/s, of which 2 MiB may come at once. */
	CHECK(rig_ms() - begun > 300);
	uf_paged_get_stats(paged, &stats);
	CHECK(stats.resident == PAGES && stats.ahead == PAGES && stats.faults == 0);
	for (size_t i = 0; i < PAGES; i++)
		CHECK(!fake_check(f, i * PAGE, (char *)addr + i * PAGE));
	CHECK(!uf_pager_detach(paged));
	CHECK(!uf_source_close(source));
	uf_pager_free(pager);
}

int main(void)
{
	char path[] = "/tmp/record-order-XXXXXX";
	int fd = mkstemp(path);
	struct fake *f = fake_new(PAGES * PAGE, 16384, true);

	rig_need_uffd();
	CHECK(fd >= 0);
	record(path, fake_new(PAGES * PAGE, 16384, false));
	replay(path);
	library(path, f);
	unlink(path);
	close(fd);
	source_close(&f->s);
	return 0;
}
