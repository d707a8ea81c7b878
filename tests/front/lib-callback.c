/* SPDX-License-Identifier: MIT */
/* A callback fills pages on the faulting thread, refuses some, and lifts write protection. */
#include "lib.h"

static struct uf_handler *handler;
/* What a callback changes, the compiler does not see change. */
static volatile char *area;
static volatile unsigned calls;
static volatile uint64_t last_flags, last_address;
static volatile pthread_t caller;

static int fill(const struct uf_fault *fault, void *arg)
{
	char contents[PG];

	CHECK(arg == (void *)&calls);
	calls++;
	errno = ENOTTY;
	caller = pthread_self();
	last_flags = fault->flags;
	last_address = fault->address;
	EQ(fault->page, fault->address & -PG);
	if (fault->flags & UF_PAGEFAULT_FLAG_WP)
		return uf_write_protect(handler, (void *)fault->page, PG, 0);
	if (fault->page == (uintptr_t)area + 3 * PG)
		return -EIO;
	if (fault->page == (uintptr_t)area + 4 * PG)
		return uf_fill_zero(handler, (void *)fault->page, 2 * PG) == 2 * PG ? 0 : -EIO;
	memset(contents, (int)(fault->page / PG), PG);
	EQ(uf_fill_copy(handler, (void *)fault->page, contents, PG), PG);
	EQ(uf_fill_copy(handler, (void *)fault->page, contents, PG), -EEXIST);
	return 0;
}

static void wrong_uses(void)
{
	struct uf_handler *h;

	EQ(uf_handle((void *)area, PG, 0, fill, NULL, &h), -EINVAL);
	EQ(uf_handle((void *)area, PG, 64, fill, NULL, &h), -EINVAL);
	EQ(uf_handle((void *)area, PG, UF_REGISTER_MODE_WP | UF_REGISTER_MODE_RWP, fill, NULL, &h),
	   -EINVAL);
	EQ(uf_handle((void *)area + 1, PG, UF_REGISTER_MODE_MISSING, fill, NULL, &h), -EINVAL);
	EQ(uf_handle((void *)area, 0, UF_REGISTER_MODE_MISSING, fill, NULL, &h), -EINVAL);
	EQ(uf_handle((void *)area, PG, UF_REGISTER_MODE_MISSING, NULL, NULL, &h), -EINVAL);
	EQ(uf_handle((void *)area, PG, UF_REGISTER_MODE_MISSING, fill, NULL, NULL), -EINVAL);
	EQ(uf_unhandle(NULL), -EINVAL);
}

int main(void)
{
	struct uf_stats stats;
	struct uf_handler *other;

	start();
	area = map(8);
	wrong_uses();
	EQ(uf_handle((void *)area, 8 * PG, UF_REGISTER_MODE_MISSING | UF_REGISTER_MODE_WP, fill,
		     (void *)&calls, &handler),
	   0);
	EQ(uf_handle((void *)area, PG, UF_REGISTER_MODE_MISSING, fill, NULL, &other), -EBUSY);

	ERRNO = 0;
	EQ(area[PG + 123], (char)((uintptr_t)area / PG + 1));
	EQ(ERRNO, 0);
	EQ(calls, 1);
	EQ(last_flags, 0);
	EQ(last_address, (uintptr_t)area + PG + 123);
	CHECK(pthread_equal(caller, pthread_self()));
	area[2 * PG] = 1;
	EQ(last_flags, UF_PAGEFAULT_FLAG_WRITE);
	EQ(area[2 * PG + 1], (char)((uintptr_t)area / PG + 2));
	EQ(calls, 2);

	signal(SIGBUS, jump);
	EQ(try_read(area + 3 * PG), SIGBUS);
	EQ(calls, 3);
	/* One fault, two pages. */
	EQ(area[4 * PG], 0);
	EQ(area[5 * PG], 0);
	EQ(calls, 4);

	EQ(uf_write_protect(handler, (void *)area + PG, PG, 1), 0);
	EQ(area[PG], (char)((uintptr_t)area / PG + 1));
	EQ(calls, 4);
	area[PG] = 77;
	EQ(calls, 5);
	EQ(last_flags, UF_PAGEFAULT_FLAG_WRITE | UF_PAGEFAULT_FLAG_WP);
	EQ(area[PG], 77);

	EQ(uf_fill_poison(handler, (void *)area + 6 * PG, PG), PG);
	EQ(try_read(area + 6 * PG), SIGBUS);
	EQ(uf_fill_zero(handler, (void *)area + 1, PG), -EINVAL);
	EQ(uf_fill_copy(handler, (void *)area + 7 * PG, (void *)8, PG), -EFAULT);

	uf_get_stats(&stats);
	EQ(stats.faults_wp, 1);
	CHECK(stats.faults_missing >= 4);
	CHECK(stats.pages_filled >= 5);
	CHECK(stats.latency_p50_ns > 0 && stats.latency_max_ns >= stats.latency_p50_ns);
	CHECK(stats.mappings > 0 && stats.mappings_budget > stats.mappings);

	EQ(uf_unhandle(handler), 0);
	calls = 0;
	EQ(area[PG], 77);
	EQ(area[0], 0);
	EQ(area[3 * PG], 0);
	EQ(calls, 0);
	EQ(uf_why() == NULL, 1);
	return 0;
}
