/* SPDX-License-Identifier: MIT */
/* A page stored by write(2) is there for a registered mapping; a hole that was read is not. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	char byte = 1;
	int fd = uffd_open(0);

	REGISTERS(fd, m, MISSING);
	EQ(pwrite(m->file, &byte, 1, PG + 100), 1);
	EQ(m->p[PG + 100], 1);
	CHECK(quiet(fd));
	EQ(pread(m->file, &byte, 1, 0), 1);
	EQ(byte, 0);
	reader(&t, m->p);
	FAULT(fd, m->p, 0);
	EQ(pwrite(m->file, "x", 1, 0), 1);
	EQ(wake(fd, m->p, PG), 0);
	join(&t);
	EQ(t.byte, 'x');

	/* What is put here is there for read(2). */
	DONE(copy(fd, m->p + 2 * PG, page_of('c'), PG, 0), PG);
	EQ(pread(m->file, &byte, 1, 2 * PG), 1);
	EQ(byte, m->kind & SHARED ? 'c' : 0);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM);
	return each(MEMFD | TMPFS | MEMFD_PRIVATE | TMPFS_PRIVATE, 3, check);
}
