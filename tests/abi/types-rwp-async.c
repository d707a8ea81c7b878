/* SPDX-License-Identifier: MIT */
/* RWP_ASYNC on file memory: an access takes the mark away by itself; the scan tells which had one.
 */
#include "kinds.h"

static void check(struct memory *m)
{
	struct scan_region r[4];
	int fd = uffd_open(UFFD_FEATURE_RWP | UFFD_FEATURE_RWP_ASYNC);
	size_t u = m->unit;
	struct scan_arg arg = {
		.start = (uintptr_t)m->p,
		.end = (uintptr_t)m->p + m->len,
		.vec = (uintptr_t)r,
		.vec_len = 4,
		.category_mask = CAT_ACCESSED,
		.return_mask = CAT_ACCESSED,
	};

	memset(m->p, 4, m->len);
	EQ(reg(fd, m->p, m->len, RWP), 0);
	EQ(rwprotect(fd, m->p, m->len, UFFDIO_RWPROTECT_MODE_RWP), 0);
	EQ(scan(&arg), 0);
	EQ(m->p[u], 4);
	EQ(scan(&arg), 1);
	EQ(r[0].start, (uintptr_t)m->p + u);
	EQ(r[0].end, (uintptr_t)m->p + 2 * u);
	m->p[2 * u] = 1;
	EQ(scan(&arg), 1);
	EQ(r[0].end, (uintptr_t)m->p + 3 * u);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_RWP | UFFD_FEATURE_RWP_ASYNC);
	return each(SHMEM | HUGE, 3, check);
}
