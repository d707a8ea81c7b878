/* SPDX-License-Identifier: MIT */
/* MADV_REMOVE frees the file's pages: missing here, holes for everybody. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING | MINOR);
	if (!(m->kind & SHARED)) {
		ERR(madvise(m->p, m->len, MADV_REMOVE), EACCES);
		close(fd);
		return;
	}
	DONE(copy(fd, m->p, source(m, 2, 3), 2 * u, 0), 2 * u);
	EQ(madvise(m->p + u, u, MADV_REMOVE), 0);
	EQ(m->p[0], 3);
	reader(&t, m->p + u);
	FAULT(fd, m->p + u, 0);
	if (m->file >= 0)
		CHECK(!cached(m, 1));
	DONE(copy(fd, m->p + u, source(m, 1, 4), u, 0), u);
	join(&t);
	EQ(t.byte, 4);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
	return each(SHMEM | HUGE, 2, check);
}
