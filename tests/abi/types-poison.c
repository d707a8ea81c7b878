/* SPDX-License-Identifier: MIT */
/* A poisoned page raises SIGBUS here; the file and its other mappings do not know of it. */
#include "kinds.h"

static void check(struct memory *m)
{
	siginfo_t info;
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	DONE(poison(fd, m->p, u, 0), u);
	EQ(try_read(m->p + u - 1, &info), SIGBUS);
	EQ((uintptr_t)info.si_addr & -u, (uintptr_t)m->p);
	EQ(try_write(m->p, 1, &info), SIGBUS);
	EQ((uintptr_t)info.si_addr, (uintptr_t)m->p);
	/* A huge page's mark cannot be told from nothing. */
	EQ(state(m->p), u == PG ? PM_SWAP : 0);
	FAILS(poison(fd, m->p, u, 0), EEXIST);
	DONE(copy(fd, m->p + u, source(m, 1, 3), u, 0), u);
	FAILS(poison(fd, m->p + u, u, 0), EEXIST);
	if (m->view) {
		m->view[0] = 5;
		EQ(try_read(m->p, NULL), SIGBUS);
		/* The file has a page, this mapping has none: there is room for a mark. */
		m->view[2 * u] = 6;
		DONE(poison(fd, m->p + 2 * u, u, 0), u);
		EQ(try_read(m->p + 2 * u, NULL), SIGBUS);
		EQ(m->view[2 * u], 6);
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
