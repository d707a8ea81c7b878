/* SPDX-License-Identifier: MIT */
/* Minor faults on memory of a virtual machine. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = uffd_open(0);

	file_set(m, 0, 3);
	file_set(m, 1, 4);
	struct outcome got = reg_out(fd, m->p, m->len, MINOR);
	if (got.err == EINVAL)
		skip("no minor faults on guest_memfd");
	EQ(got.err, 0);
	CHECK(got.out & 1 << _UFFDIO_CONTINUE);
	reader(&t, m->p + 9);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_MINOR);
	m->view[9] = 5;
	DONE(cont(fd, m->p, PG, 0), PG);
	join(&t);
	EQ(t.byte, 5);
	writer(&t, m->p + PG, 6);
	FAULT(fd, m->p + PG, UFFD_PAGEFAULT_FLAG_MINOR | UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(cont(fd, m->p + PG, PG, 0), PG);
	join(&t);
	EQ(m->view[PG], 6);
	EQ(m->view[PG + 1], 4);
	FAILS(cont(fd, m->p, PG, 0), EEXIST);
	FAILS(cont(fd, m->p + 2 * PG, PG, 0), EFAULT);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	return each(GUEST, 3, check);
}
