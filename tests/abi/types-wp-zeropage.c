/* SPDX-License-Identifier: MIT */
/* ZEROPAGE over marks: the page cache takes the page, a private mapping keeps the mark. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);

	REGISTERS(fd, m, MISSING | WP);
	EQ(protect(fd, m->p, PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	DONE(poison(fd, m->p + PG, PG, 0), PG);
	FAILS(poison(fd, m->p, PG, 0), EEXIST);
	if (m->kind & SHARED) {
		DONE(zeropage(fd, m->p, 2 * PG, 0), 2 * PG);
		EQ(pagemap(m->p) & PM_UFFD_WP, 0);
		m->p[0] = m->p[PG] = 1;
		EQ(m->view[PG], 1);
	} else {
		FAILS(zeropage(fd, m->p, 2 * PG, 0), EEXIST);
		FAILS(zeropage(fd, m->p + PG, PG, 0), EEXIST);
		EQ(state(m->p), PM_SWAP | PM_UFFD_WP);
		EQ(state(m->p + PG), PM_SWAP);
		/* COPY takes the place of either. */
		DONE(copy(fd, m->p, source(m, 2, 4), 2 * PG, 0), 2 * PG);
		EQ(state(m->p), PM_PRESENT);
		m->p[0] = m->p[PG] = 1;
	}
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_POISON);
	return each(SHMEM, 2, check);
}
