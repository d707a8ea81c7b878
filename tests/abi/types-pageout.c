/* SPDX-License-Identifier: MIT */
/* MADV_PAGEOUT and MADV_COLD lose neither contents nor protection. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);

	REGISTERS(fd, m, MISSING | WP);
	DONE(copy(fd, m->p, source(m, 2, 3), 2 * PG, UFFDIO_COPY_MODE_WP), 2 * PG);
	EQ(protect(fd, m->p + 2 * PG, PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	/* Private anonymous memory has no mark where there is no page. */
	uint64_t mark = m->kind == ANON ? 0 : PM_UFFD_WP;
	for (int i = 0; i < 2; i++) {
		EQ(madvise(m->p, m->len, i ? MADV_PAGEOUT : MADV_COLD), 0);
		CHECK(pagemap(m->p) & PM_UFFD_WP);
		EQ(pagemap(m->p + 2 * PG) & PM_UFFD_WP, mark);
		CHECK(all(m->p, 2 * PG, 3));
		CHECK(pagemap(m->p) & PM_UFFD_WP);
	}
	EQ(madvise(m->p, m->len, MADV_PAGEOUT), 0);
	writer(&t, m->p, 4);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	EQ(protect(fd, m->p, PG, 0), 0);
	join(&t);
	EQ(m->p[0], 4);
	EQ(m->p[1], 3);
	/* A page that is out is not missing: it cannot be filled again. */
	EQ(madvise(m->p, m->len, MADV_PAGEOUT), 0);
	FAILS(copy(fd, m->p + PG, page_of(9), PG, 0), EEXIST);
	EQ(m->p[PG], 3);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(ANON | SHMEM, 3, check);
}
