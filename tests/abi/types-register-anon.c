/* SPDX-License-Identifier: MIT */
/* Private anonymous memory has no page cache: no mode with MINOR in it. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);

	for (uint64_t modes = 1; modes < 8; modes++)
		if (modes & MINOR)
			REFUSED(reg_out(fd, m->p, m->len, modes), EINVAL);
		else
			REGISTERS(fd, m, modes);
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_MINOR_SHMEM);
	return each(ANON, 2, check);
}
