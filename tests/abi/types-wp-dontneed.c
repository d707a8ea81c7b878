/* SPDX-License-Identifier: MIT */
/* MADV_DONTNEED drops the page from the mapping; the protection stays behind as a mark. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	memset(m->p, 3, m->len);
	REGISTERS(fd, m, WP);
	EQ(protect(fd, m->p, u, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	EQ(madvise(m->p, m->len, MADV_DONTNEED), 0);
	EQ(state(m->p), u == PG ? PM_SWAP | PM_UFFD_WP : PM_UFFD_WP);
	EQ(state(m->p + u), 0);
	/* Even twice. */
	EQ(madvise(m->p, m->len, MADV_DONTNEED), 0);
	CHECK(pagemap(m->p) & PM_UFFD_WP);
	writer(&t, m->p + 1, 4);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	EQ(protect(fd, m->p, u, 0), 0);
	join(&t);
	EQ(m->p[1], 4);
	/* Shared contents are the file's; private ones went. */
	EQ(m->p[0], m->kind & SHARED ? 3 : 0);
	EQ(m->p[u], m->kind & SHARED ? 3 : 0);
	m->p[u] = 5;
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(SHMEM | HUGE, 2, check);
}
