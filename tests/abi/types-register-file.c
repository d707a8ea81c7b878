/* SPDX-License-Identifier: MIT */
/* A regular file is refused in every mode. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);

	for (uint64_t modes = 1; modes < 8; modes++) {
		REFUSED(reg_out(fd, m->p, m->len, modes), EINVAL);
		REFUSED(reg_out(fd, m->p, PG, modes), EINVAL);
	}
	EQ(unreg(fd, m->p, m->len), EINVAL);
	FAILS(copy(fd, m->p, page_of(1), PG, 0), ENOENT);
	FAILS(zeropage(fd, m->p, PG, 0), ENOENT);
	FAILS(cont(fd, m->p, PG, 0), ENOENT);
	EQ(protect(fd, m->p, PG, 0), ENOENT);
	memset(m->p, 2, m->len);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	return each(REGULAR, 2, check);
}
