/* SPDX-License-Identifier: MIT */
/* Memory of a virtual machine: nothing is ever missing there. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);

	REFUSED(reg_out(fd, m->p, m->len, MISSING), EINVAL);
	REFUSED(reg_out(fd, m->p, m->len, MISSING | WP), EINVAL);
	FAILS(copy(fd, m->p, page_of(1), PG, 0), ENOENT);
	FAILS(zeropage(fd, m->p, PG, 0), ENOENT);
	m->p[0] = 1;
	EQ(m->view[0], 1);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	return each(GUEST, 2, check);
}
