/* SPDX-License-Identifier: MIT */
/* EVENT_REMAP on file memory: contents, registration and marks move along. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	struct call c;
	struct memory to;
	int fd = uffd_open(UFFD_FEATURE_EVENT_REMAP);
	size_t u = m->unit;

	CHECK(memory_map(&to, m->kind, 4));
	REGISTERS(fd, m, MISSING | WP);
	DONE(copy(fd, m->p, source(m, 1, 3), u, 0), u);
	DONE(copy(fd, m->p + u, source(m, 1, 4), u, UFFDIO_COPY_MODE_WP), u);
	EQ(protect(fd, m->p + 2 * u, u, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	call_mremap(&c, m->p, m->len, m->len, MREMAP_MAYMOVE | MREMAP_FIXED, to.p);
	EVENT(fd, UFFD_EVENT_REMAP, m->p, to.p, m->len);
	EQ(returned(&c), (long)to.p);
	CHECK(quiet(fd));
	CHECK(all(to.p, u, 3));
	CHECK(all(to.p + u, u, 4));
	CHECK(pagemap(to.p + u) & PM_UFFD_WP);
	CHECK(pagemap(to.p + 2 * u) & PM_UFFD_WP);
	if (m->view && m->kind & SHARED) {
		to.p[0] = 5;
		EQ(m->view[0], 5);
	}
	writer(&t, to.p + u, 6);
	FAULT(fd, to.p + u, UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);
	EQ(protect(fd, to.p + u, u, 0), 0);
	join(&t);
	reader(&t, to.p + 3 * u);
	FAULT(fd, to.p + 3 * u, 0);
	DONE(copy(fd, to.p + 3 * u, source(m, 1, 7), u, 0), u);
	join(&t);
	EQ(t.byte, 7);
	EQ(try_read(m->p, NULL), SIGSEGV);
	CHECK(quiet(fd));
	close(fd);
	memory_unmap(&to);
	m->p = NULL;
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(SHMEM | HUGE, 4, check);
}
