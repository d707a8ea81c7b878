/* SPDX-License-Identifier: MIT */
/* A look that protects marks empty pages too, but never empty huge ones. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct scan_region r[4];
	int fd = uffd_open(UFFD_FEATURE_WP_ASYNC);
	size_t u = m->unit;
	struct scan_arg arg = {
		.flags = SCAN_WP_MATCHING | SCAN_CHECK_WPASYNC,
		.start = (uintptr_t)m->p,
		.end = (uintptr_t)m->p + m->len,
		.vec = (uintptr_t)r,
		.vec_len = 4,
		.category_mask = CAT_WRITTEN,
		.return_mask = CAT_WRITTEN,
	};

	m->p[u] = 1;
	REGISTERS(fd, m, WP);
	EQ(scan(&arg), 1);
	EQ(r[0].start, (uintptr_t)m->p + (u == PG ? 0 : u));
	EQ(r[0].end, (uintptr_t)m->p + (u == PG ? 3 : 2) * u);
	EQ(state(m->p), u == PG ? PM_SWAP | PM_UFFD_WP : 0);
	CHECK(pagemap(m->p + u) & PM_UFFD_WP);
	EQ(scan(&arg), 0);
	m->p[0] = 1;
	EQ(scan(&arg), 1);
	EQ(r[0].start, (uintptr_t)m->p);
	EQ(r[0].end, (uintptr_t)m->p + u);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_ASYNC);
	return each(SHMEM | HUGE, 3, check);
}
