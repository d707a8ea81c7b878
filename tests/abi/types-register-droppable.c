/* SPDX-License-Identifier: MIT */
/* Droppable memory cannot be registered, not even for WP_ASYNC. */
#include "abi.h"

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 8
#endif

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_ASYNC);
	char *p = mmap(NULL, 2 * PG, PROT_READ | PROT_WRITE, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		skip("no MAP_DROPPABLE");
	for (int async = 0; async < 2; async++) {
		int fd = uffd_open(async ? UFFD_FEATURE_WP_ASYNC : 0);
		for (uint64_t modes = 1; modes < 8; modes++)
			REFUSED(reg_out(fd, p, 2 * PG, modes), EINVAL);
		EQ(unreg(fd, p, 2 * PG), EINVAL);
		p[0] = 1;
		CHECK(quiet(fd));
	}
	return 0;
}
