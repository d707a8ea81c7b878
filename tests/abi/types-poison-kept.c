/* SPDX-License-Identifier: MIT */
/* A poison mark outlives mprotect, mremap, UNREGISTER and the descriptor. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	DONE(poison(fd, m->p, u, 0), u);
	EQ(mprotect(m->p, m->len, PROT_READ), 0);
	EQ(try_read(m->p, NULL), SIGBUS);
	EQ(mprotect(m->p, m->len, PROT_READ | PROT_WRITE), 0);
	EQ(try_read(m->p, NULL), SIGBUS);
	EQ(unreg(fd, m->p, m->len), 0);
	EQ(try_read(m->p, NULL), SIGBUS);
	close(fd);
	EQ(try_write(m->p, 1, NULL), SIGBUS);

	char *to = memory_place(m);
	EQ((long)mremap(m->p, m->len, m->len, MREMAP_MAYMOVE | MREMAP_FIXED, to), (long)to);
	EQ(try_read(to, NULL), SIGBUS);
	EQ(try_read(to + u, NULL), 0);
	EQ(madvise(to, u, MADV_DONTNEED), 0);
	to[0] = 1;
	EQ(munmap(to, m->len), 0);
	m->p = NULL;
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_POISON);
	return each(SHMEM | HUGE, 2, check);
}
