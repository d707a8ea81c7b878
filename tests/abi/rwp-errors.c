/* SPDX-License-Identifier: MIT */
/* What RWP registration, RWPROTECT and the feature bits refuse. */
#include "abi.h"

int main(void)
{
	start();
	need_features(UFFD_FEATURE_RWP | UFFD_FEATURE_RWP_ASYNC);
	/* Async alone is no feature. */
	EQ(uffd_api(uffd_new(O_NONBLOCK), UFFD_FEATURE_RWP_ASYNC), EINVAL);
	/* Not negotiated: the mode does not exist. */
	EQ(reg(uffd_open(0), map(1), PG, RWP), EINVAL);

	int fd = uffd_open(UFFD_FEATURE_RWP);
	char *p = map(3);
	EQ(reg(fd, p, PG, RWP | WP), EINVAL);
	EQ(reg(fd, p, PG, RWP | WP | MISSING), EINVAL);
	EQ(rwprotect(fd, p, PG, 0), ENOENT);
	EQ(reg(fd, p, PG, MISSING), 0);
	EQ(rwprotect(fd, p, PG, UFFDIO_RWPROTECT_MODE_RWP), ENOENT);
	EQ(reg(fd, p, 2 * PG, MISSING | RWP), 0);
	EQ(rwprotect(fd, p, PG, 3), EINVAL);
	EQ(rwprotect(fd, p, PG, 4), EINVAL);
	EQ(rwprotect(fd, p + 1, PG, 0), EINVAL);
	EQ(rwprotect(fd, p, 0, 0), EINVAL);
	EQ(protect(fd, p, PG, UFFDIO_WRITEPROTECT_MODE_WP), ENOENT);
	EQ(rwprotect(fd, p, 3 * PG, UFFDIO_RWPROTECT_MODE_RWP), ENOENT);
	EQ(rwprotect(fd, p, 2 * PG, UFFDIO_RWPROTECT_MODE_RWP), 0);
	ERR(ioctl(fd, UFFDIO_RWPROTECT, NULL), EFAULT);
	return 0;
}
