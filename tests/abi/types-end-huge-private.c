/* SPDX-License-Identifier: MIT */
/* Private huge pages can be had beyond the end of the file, but touching them there is SIGBUS. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);
	size_t u = m->unit;

	EQ(ftruncate(m->file, u), 0);
	REGISTERS(fd, m, MISSING);
	EQ(try_read(m->p + u + 9, NULL), SIGBUS);
	CHECK(quiet(fd));
	DONE(copy(fd, m->p, source(m, 2, 3), 2 * u, 0), 2 * u);
	EQ(m->p[u], 3);
	EQ(lseek(m->file, 0, SEEK_END), u);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	return each(HUGE_MEMFD_PRIVATE, 3, check);
}
