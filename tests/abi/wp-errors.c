/* SPDX-License-Identifier: MIT */
/* What WRITEPROTECT refuses. */
#include "abi.h"

int main(void)
{
	struct uffdio_writeprotect arg = {.mode = 0};

	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	int fd = uffd_open(0);
	char *p = map(3);
	EQ(protect(fd, p, PG, 0), ENOENT);
	EQ(reg(fd, p, PG, MISSING), 0);
	EQ(protect(fd, p, PG, UFFDIO_WRITEPROTECT_MODE_WP), ENOENT);
	EQ(reg(fd, p, PG, WP), 0);
	EQ(protect(fd, p, PG, 3), EINVAL);
	EQ(protect(fd, p, PG, 4), EINVAL);
	EQ(protect(fd, p, PG, 1ull << 63), EINVAL);
	EQ(protect(fd, p + 1, PG, 0), EINVAL);
	EQ(protect(fd, p, PG + 1, 0), EINVAL);
	EQ(protect(fd, p, 0, 0), EINVAL);
	EQ(protect(fd, (char *)-PG, PG, 0), EINVAL);
	ERR(ioctl(fd, UFFDIO_WRITEPROTECT, &arg), EINVAL);
	/* The mode is looked at before the range's areas. */
	EQ(protect(fd, map(1), PG, 3), EINVAL);
	EQ(protect(fd, p, PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	EQ(protect(fd, p, PG, UFFDIO_WRITEPROTECT_MODE_DONTWAKE), 0);
	return 0;
}
