/* SPDX-License-Identifier: MIT */
/* Unmapped and mapped anew: contents are the file's, registration is gone, marks are gone. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING | WP);
	DONE(copy(fd, m->p, source(m, 1, 3), u, UFFDIO_COPY_MODE_WP), u);
	DONE(poison(fd, m->p + u, u, 0), u);
	CHECK(mmap(m->p, m->len, PROT_READ | PROT_WRITE,
		   (m->kind & SHARED ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED, m->file, 0) == m->p);
	EQ(state(m->p), 0);
	EQ(state(m->p + u), 0);
	EQ(m->p[0], m->kind & SHARED ? 3 : 0);
	m->p[0] = m->p[u] = 1;
	CHECK(quiet(fd));
	FAILS(copy(fd, m->p + u, source(m, 1, 3), u, 0), ENOENT);
	REGISTERS(fd, m, MISSING | WP);
	FAILS(copy(fd, m->p + u, source(m, 1, 3), u, 0), EEXIST);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_POISON);
	return each(WITH_FD, 2, check);
}
