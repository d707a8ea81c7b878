/* SPDX-License-Identifier: MIT */
/* mremap from a length of 0 maps shared memory once more; the new mapping is not registered. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);

	REGISTERS(fd, m, MISSING);
	DONE(copy(fd, m->p, page_of(3), PG, 0), PG);
	char *twin = mremap(m->p, 0, m->len, MREMAP_MAYMOVE);
	CHECK(twin != MAP_FAILED);
	CHECK(all(twin, PG, 3));
	EQ(twin[PG], 0);
	CHECK(quiet(fd));
	FAILS(copy(fd, twin + 2 * PG, page_of(4), PG, 0), ENOENT);
	EQ(m->p[PG], 0);
	CHECK(quiet(fd));
	reader(&t, m->p + 2 * PG);
	FAULT(fd, m->p + 2 * PG, 0);
	DONE(copy(fd, m->p + 2 * PG, page_of(5), PG, 0), PG);
	join(&t);
	EQ(twin[2 * PG], 5);
	CHECK(quiet(fd));
	close(fd);
	EQ(munmap(twin, m->len), 0);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM);
	return each(SHMEM_SHARED, 3, check);
}
