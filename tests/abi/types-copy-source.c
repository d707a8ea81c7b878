/* SPDX-License-Identifier: MIT */
/* The source of COPY may begin anywhere, and may be any memory that can be read. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;
	struct memory anon;

	CHECK(memory_map(&anon, ANON, 2 * u / PG));
	char *src = anon.p;
	memset(src + 123, 6, u);
	REGISTERS(fd, m, MISSING);
	DONE(copy(fd, m->p, src + 123, u, 0), u);
	CHECK(all(m->p, u, 6));
	/* From memory of the same kind, registered too. */
	DONE(copy(fd, m->p + u, m->p, u, 0), u);
	CHECK(all(m->p + u, u, 6));
	/* A source that ends too early leaves nothing behind. */
	EQ(mprotect(src + u, u, PROT_NONE), 0);
	FAILS(copy(fd, m->p + 2 * u, src + PG, u, 0), EFAULT);
	EQ(state(m->p + 2 * u), 0);
	if (m->view)
		CHECK(!cached(m, 2));
	FAILS(copy(fd, m->p + 2 * u, NULL, u, 0), EFAULT);
	CHECK(quiet(fd));
	close(fd);
	memory_unmap(&anon);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(SHMEM | HUGE, 3, check);
}
