/* SPDX-License-Identifier: MIT */
/* SysV shared memory is refused in every mode, unless in WP_ASYNC for write protection alone. */
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
		close(fd);
	}
	m->p[0] = 1;
	EQ(m->view[0], 1);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_ASYNC);
	return each(SYSV, 2, check);
}
