/* SPDX-License-Identifier: MIT */
/* Truncation takes poison away; a hole does so in huge pages only. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	DONE(poison(fd, m->p, 2 * u, 0), 2 * u);
	/* From here on what is not poisoned is simply made. */
	EQ(unreg(fd, m->p, m->len), 0);
	EQ(fallocate(m->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, u), 0);
	EQ(try_read(m->p, NULL), u == PG ? SIGBUS : 0);
	EQ(try_read(m->p + u, NULL), SIGBUS);
	EQ(ftruncate(m->file, 0), 0);
	EQ(ftruncate(m->file, m->len), 0);
	CHECK(all(m->p, m->len, 0));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_POISON);
	return each(WITH_FD, 2, check);
}
