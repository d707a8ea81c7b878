/* SPDX-License-Identifier: MIT */
/* MADV_DONTNEED takes the page from the mapping, not from the file: a minor fault again. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING | MINOR);
	DONE(copy(fd, m->p, source(m, 1, 3), u, 0), u);
	EQ(madvise(m->p, u, MADV_DONTNEED), 0);
	EQ(state(m->p), 0);
	reader(&t, m->p);
	if (m->kind & SHARED) {
		FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_MINOR);
		DONE(cont(fd, m->p, u, 0), u);
	} else {
		/* The page was this mapping's own. */
		FAULT(fd, m->p, 0);
		DONE(copy(fd, m->p, source(m, 1, 4), u, 0), u);
	}
	join(&t);
	EQ(t.byte, m->kind & SHARED ? 3 : 4);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
	return each(SHMEM | HUGE, 1, check);
}
