/* SPDX-License-Identifier: MIT */
/* COPY and CONTINUE heal a poisoned page, and MADV_DONTNEED takes the mark away. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	DONE(poison(fd, m->p, 3 * u, 0), 3 * u);
	DONE(copy(fd, m->p, source(m, 1, 3), u, 0), u);
	CHECK(all(m->p, u, 3));
	EQ(try_read(m->p + u, NULL), SIGBUS);

	EQ(madvise(m->p + u, u, MADV_DONTNEED), 0);
	reader(&t, m->p + u);
	FAULT(fd, m->p + u, 0);
	DONE(copy(fd, m->p + u, source(m, 1, 4), u, 0), u);
	join(&t);
	EQ(t.byte, 4);

	if (m->view) {
		file_set(m, 2, 5);
		EQ(try_read(m->p + 2 * u, NULL), SIGBUS);
		DONE(cont(fd, m->p + 2 * u, u, 0), u);
		CHECK(all(m->p + 2 * u, u, 5));
	}
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_POISON);
	return each(SHMEM | HUGE, 3, check);
}
