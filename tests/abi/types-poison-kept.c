/* SPDX-License-Identifier: MIT */
/* A poison mark outlives mprotect, mremap, UNREGISTER and the descriptor. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct memory to;
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

	CHECK(memory_map(&to, m->kind, 2));
	EQ((long)mremap(m->p, m->len, m->len, MREMAP_MAYMOVE | MREMAP_FIXED, to.p), (long)to.p);
	EQ(try_read(to.p, NULL), SIGBUS);
	EQ(try_read(to.p + u, NULL), 0);
	EQ(madvise(to.p, u, MADV_DONTNEED), 0);
	to.p[0] = 1;
	memory_unmap(&to);
	m->p = NULL;
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_POISON);
	return each(SHMEM | HUGE, 2, check);
}
