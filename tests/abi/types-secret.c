/* SPDX-License-Identifier: MIT */
/* Secret memory: write protection alone, in WP_ASYNC alone. */
#include "kinds.h"

static void check(struct memory *m)
{
	for (int async = 0; async < 2; async++) {
		int fd = uffd_open(async ? UFFD_FEATURE_WP_ASYNC : 0);
		for (uint64_t modes = 1; modes < 8; modes++)
			if (async && modes == WP)
				REGISTERS(fd, m, modes);
			else
				REFUSED(reg_out(fd, m->p, m->len, modes), EINVAL);
		EQ(unreg(fd, m->p, m->len), async ? 0 : EINVAL);
		FAILS(copy(fd, m->p, page_of(1), PG, 0), ENOENT);
		if (async) {
			m->p[0] = m->p[PG] = 1;
			EQ(reg(fd, m->p, m->len, WP), 0);
			FAILS(copy(fd, m->p, page_of(1), PG, 0), EINVAL);
			FAILS(zeropage(fd, m->p, PG, 0), EINVAL);
			EQ(protect(fd, m->p, m->len, UFFDIO_WRITEPROTECT_MODE_WP), 0);
			m->p[PG] = 2;
			CHECK(pagemap(m->p) & PM_UFFD_WP);
			EQ(pagemap(m->p + PG) & PM_UFFD_WP, 0);
			CHECK(quiet(fd));
		}
		close(fd);
	}
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_ASYNC);
	return each(SECRET, 2, check);
}
