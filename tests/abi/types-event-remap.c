/* SPDX-License-Identifier: MIT */
/* EVENT_REMAP on file memory: contents, registration and marks move along. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	struct call c;
	int fd = uffd_open(UFFD_FEATURE_EVENT_REMAP);
	size_t u = m->unit;

	char *to = memory_place(m);
	REGISTERS(fd, m, MISSING | WP);
	DONE(copy(fd, m->p, source(m, 1, 3), u, 0), u);
	DONE(copy(fd, m->p + u, source(m, 1, 4), u, UFFDIO_COPY_MODE_WP), u);
	EQ(protect(fd, m->p + 2 * u, u, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	call_mremap(&c, m->p, m->len, m->len, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	EVENT(fd, UFFD_EVENT_REMAP, m->p, to, m->len);
	EQ(returned(&c), (long)to);
	CHECK(quiet(fd));
	CHECK(all(to, u, 3));
	CHECK(all(to + u, u, 4));
	CHECK(pagemap(to + u) & PM_UFFD_WP);
	CHECK(pagemap(to + 2 * u) & PM_UFFD_WP);
	if (m->view && m->kind & SHARED) {
		to[0] = 5;
		EQ(m->view[0], 5);
	}
	writer(&t, to + u, 6);
	FAULT(fd, to + u, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	EQ(protect(fd, to + u, u, 0), 0);
	join(&t);
	reader(&t, to + 3 * u);
	FAULT(fd, to + 3 * u, 0);
	DONE(copy(fd, to + 3 * u, source(m, 1, 7), u, 0), u);
	join(&t);
	EQ(t.byte, 7);
	EQ(try_read(m->p, NULL), SIGSEGV);
	CHECK(quiet(fd));
	close(fd);
	EQ(munmap(to, m->len), 0);
	m->p = NULL;
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(SHMEM | HUGE, 4, check);
}
