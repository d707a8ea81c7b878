/* SPDX-License-Identifier: MIT */
/* Moved without EVENT_REMAP: the new place has the contents, but no registration and no marks. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;

	char *to = memory_place(m);
	REGISTERS(fd, m, MISSING | WP);
	DONE(copy(fd, m->p, source(m, 1, 4), u, UFFDIO_COPY_MODE_WP), u);
	EQ(protect(fd, m->p + u, u, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	EQ((long)mremap(m->p, m->len, m->len, MREMAP_MAYMOVE | MREMAP_FIXED, to), (long)to);
	CHECK(all(to, u, 4));
	EQ(pagemap(to) & PM_UFFD_WP, 0);
	EQ(state(to + u), 0);
	to[0] = to[u] = 1;
	EQ(to[2 * u], 0);
	CHECK(quiet(fd));
	FAILS(copy(fd, to, source(m, 1, 4), u, 0), ENOENT);
	close(fd);
	EQ(munmap(to, m->len), 0);
	m->p = NULL;
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(SHMEM | HUGE, 3, check);
}
