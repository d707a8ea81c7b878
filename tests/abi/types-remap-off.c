/* SPDX-License-Identifier: MIT */
/* Moved without EVENT_REMAP: the new place has the contents, but no registration and no marks. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct memory to;
	int fd = uffd_open(0);
	size_t u = m->unit;

	CHECK(memory_map(&to, m->kind, 3));
	REGISTERS(fd, m, MISSING | WP);
	DONE(copy(fd, m->p, source(m, 1, 4), u, UFFDIO_COPY_MODE_WP), u);
	EQ(protect(fd, m->p + u, u, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	EQ((long)mremap(m->p, m->len, m->len, MREMAP_MAYMOVE | MREMAP_FIXED, to.p), (long)to.p);
	CHECK(all(to.p, u, 4));
	EQ(pagemap(to.p) & PM_UFFD_WP, 0);
	EQ(state(to.p + u), 0);
	to.p[0] = to.p[u] = 1;
	EQ(to.p[2 * u], 0);
	CHECK(quiet(fd));
	FAILS(copy(fd, to.p, source(m, 1, 4), u, 0), ENOENT);
	close(fd);
	memory_unmap(&to);
	m->p = NULL;
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(SHMEM | HUGE, 3, check);
}
