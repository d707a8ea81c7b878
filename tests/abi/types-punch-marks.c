/* SPDX-License-Identifier: MIT */
/* A hole punched into the file takes pages, but leaves marks of their protection behind. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;
	uint64_t mark = PM_UFFD_WP | (u == PG ? PM_SWAP : 0);

	file_set(m, 2, 6);
	REGISTERS(fd, m, MISSING | WP);
	DONE(copy(fd, m->p, source(m, 1, 3), u, UFFDIO_COPY_MODE_WP), u);
	EQ(protect(fd, m->p + u, u, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	DONE(cont(fd, m->p + 2 * u, u, UFFDIO_COPY_MODE_WP), u);
	EQ(fallocate(m->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, m->len), 0);
	/* A private copy in small pages is none of the file's. */
	EQ(state(m->p), m->kind & SHMEM_PRIVATE ? PM_PRESENT | PM_UFFD_WP : mark);
	EQ(state(m->p + u), mark);
	EQ(state(m->p + 2 * u), mark);
	writer(&t, m->p + 2 * u, 7);
	FAULT(fd, m->p + 2 * u, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(copy(fd, m->p + 2 * u, source(m, 1, 4), u, UFFDIO_COPY_MODE_WP), u);
	FAULT(fd, m->p + 2 * u, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	EQ(protect(fd, m->p, m->len, 0), 0);
	join(&t);
	EQ(m->p[2 * u], 7);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(WITH_FD, 3, check);
}
