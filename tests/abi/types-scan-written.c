/* SPDX-License-Identifier: MIT */
/* WP_ASYNC and PAGEMAP_SCAN on file memory: which pages were written since the last look. */
#include "kinds.h"

static struct scan_region r[8];

static long written(struct memory *m, uint64_t flags)
{
	struct scan_arg arg = {
		.flags = flags,
		.start = (uintptr_t)m->p,
		.end = (uintptr_t)m->p + m->len,
		.vec = (uintptr_t)r,
		.vec_len = 8,
		.category_mask = CAT_WRITTEN,
		.return_mask = CAT_WRITTEN,
	};
	long n = scan(&arg);

	EQ(arg.walk_end, arg.end);
	return n;
}

static void check(struct memory *m)
{
	int fd = uffd_open(UFFD_FEATURE_WP_ASYNC);
	size_t u = m->unit;
	uintptr_t base = (uintptr_t)m->p;

	memset(m->p, 1, m->len);
	REGISTERS(fd, m, WP);
	EQ(written(m, SCAN_WP_MATCHING | SCAN_CHECK_WPASYNC), 1);
	EQ(r[0].start, base);
	EQ(r[0].end, base + m->len);
	EQ(written(m, 0), 0);

	EQ(m->p[4 * u], 1);
	m->p[u] = 2;
	m->p[3 * u + 1] = 2;
	m->p[4 * u - 1] = 2;
	/* What others write into the file is none of this mapping's business. */
	if (m->view)
		m->view[0] = 3;
	EQ(written(m, 0), 2);
	EQ(written(m, SCAN_WP_MATCHING), 2);
	EQ(r[0].start, base + u);
	EQ(r[0].end, base + 2 * u);
	EQ(r[1].start, base + 3 * u);
	EQ(r[1].end, base + 4 * u);
	EQ(written(m, SCAN_WP_MATCHING), 0);
	CHECK(pagemap(m->p + u) & PM_UFFD_WP);

	/* A page that leaves takes no mark away. */
	EQ(madvise(m->p, u, MADV_DONTNEED), 0);
	EQ(written(m, 0), 0);
	m->p[5] = 4;
	EQ(written(m, 0), 1);
	EQ(r[0].start, base);
	EQ(r[0].end, base + u);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_ASYNC);
	return each(SHMEM | HUGE | SYSV | REGULAR, 5, check);
}
