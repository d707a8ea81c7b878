/* SPDX-License-Identifier: MIT */
/* With WP_ASYNC, write protection alone is to be had on a regular file; nothing else is. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(UFFD_FEATURE_WP_ASYNC);

	for (uint64_t modes = 1; modes < 8; modes++)
		if (modes != WP)
			REFUSED(reg_out(fd, m->p, m->len, modes), EINVAL);
	REGISTERS(fd, m, WP);
	EQ(unreg(fd, m->p, m->len), 0);
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_ASYNC);
	return each(REGULAR, 2, check);
}
