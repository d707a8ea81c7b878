/* SPDX-License-Identifier: MIT */
/* Read-write protection of file memory: any access waits, by this mapping alone. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(UFFD_FEATURE_RWP);
	size_t u = m->unit;

	memset(m->p, 4, m->len);
	CHECK(reg_out(fd, m->p, m->len, RWP).out & 1 << _UFFDIO_RWPROTECT);
	m->p[0] = 5;
	EQ(rwprotect(fd, m->p, m->len, UFFDIO_RWPROTECT_MODE_RWP), 0);
	reader(&t, m->p);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_RWP);
	CHECK(blocked(&t));
	if (m->view && m->kind & SHARED)
		EQ(m->view[0], 5);
	EQ(rwprotect(fd, m->p, u, 0), 0);
	join(&t);
	EQ(t.byte, 5);
	m->p[1] = 6;
	CHECK(quiet(fd));

	writer(&t, m->p + u, 7);
	struct uffd_msg msg = next_msg(fd);
	EQ(msg.pagefault.address, (uintptr_t)m->p + u);
	EQ(msg.pagefault.flags & ~UFFD_PAGEFAULT_FLAG_WRITE, UFFD_PAGEFAULT_FLAG_RWP);
	EQ(rwprotect(fd, m->p + u, u, 0), 0);
	join(&t);
	EQ(m->p[u], 7);
	EQ(m->p[u + 1], 4);
	EQ(rwprotect(fd, m->p, m->len, UFFDIO_RWPROTECT_MODE_RWP), 0);
	close(fd);
	EQ(m->p[0], 5);
	m->p[u] = 1;
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_RWP);
	return each(SHMEM | HUGE, 2, check);
}
