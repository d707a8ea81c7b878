/* SPDX-License-Identifier: MIT */
/* ZEROPAGE: a page of zeros in the page cache, or in a private mapping one that is nobody's. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);

	REGISTERS(fd, m, MISSING);
	reader(&t, m->p);
	FAULT(fd, m->p, 0);
	DONE(zeropage(fd, m->p, 2 * PG, 0), 2 * PG);
	join(&t);
	EQ(t.byte, 0);
	CHECK(all(m->p, 2 * PG, 0));
	FAILS(zeropage(fd, m->p, PG, 0), EEXIST);
	FAILS(copy(fd, m->p, page_of(1), PG, 0), EEXIST);
	EQ(cached(m, 0), !!(m->kind & SHARED));
	m->p[PG] = 6;
	EQ(m->p[PG + 1], 0);
	EQ(m->view[PG], m->kind & SHARED ? 6 : 0);

	/* The file has a page there already. */
	file_set(m, 2, 3);
	if (m->kind & SHARED)
		FAILS(zeropage(fd, m->p + 2 * PG, PG, 0), EEXIST);
	else
		DONE(zeropage(fd, m->p + 2 * PG, PG, 0), PG);
	EQ(m->p[2 * PG], m->kind & SHARED ? 3 : 0);
	CHECK(file_is(m, 2, 3));
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM);
	return each(SHMEM, 3, check);
}
