/* SPDX-License-Identifier: MIT */
/* WP_ASYNC: a write takes the mark away by itself, on every kind of memory. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(UFFD_FEATURE_WP_ASYNC);
	size_t u = m->unit;

	memset(m->p, 1, 2 * u);
	REGISTERS(fd, m, WP);
	EQ(protect(fd, m->p, m->len, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	for (int i = 0; i < 4; i++)
		CHECK(pagemap(m->p + i * u) & PM_UFFD_WP);
	EQ(m->p[0], 1);
	EQ(m->p[2 * u], 0);
	CHECK(pagemap(m->p) & PM_UFFD_WP);
	CHECK(pagemap(m->p + 2 * u) & PM_UFFD_WP);
	m->p[u] = 2;
	m->p[2 * u] = 2;
	m->p[3 * u] = 2;
	CHECK(pagemap(m->p) & PM_UFFD_WP);
	for (int i = 1; i < 4; i++)
		EQ(pagemap(m->p + i * u) & PM_UFFD_WP, 0);
	EQ(m->p[u + 1], 1);
	CHECK(all(m->p + 3 * u + 1, u - 1, 0));
	if (m->view)
		EQ(m->view[3 * u], m->kind & SHARED ? 2 : 0);
	/* Armed again. */
	EQ(protect(fd, m->p, m->len, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	CHECK(pagemap(m->p + u) & PM_UFFD_WP);
	m->p[u + 1] = 3;
	EQ(pagemap(m->p + u) & PM_UFFD_WP, 0);
	EQ(m->p[u], 2);
	CHECK(quiet(fd));
	close(fd);
	EQ(pagemap(m->p) & PM_UFFD_WP, 0);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_ASYNC);
	return each(SHMEM | HUGE | SYSV | ZERO_PRIVATE | REGULAR, 4, check);
}
