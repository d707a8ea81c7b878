/* SPDX-License-Identifier: MIT */
/* A descriptor is initialised once, even if no features were asked for. */
#include "abi.h"

int main(void)
{
	struct uffdio_api api = {.api = UFFD_API};

	start();
	int fd = uffd_new(O_NONBLOCK);
	EQ(uffd_api(fd, 0), 0);
	EQ(ioctl(fd, UFFDIO_API, &api), -1);
	EQ(errno, EINVAL);
	EQ(api.api, 0);
	EQ(api.features, 0);
	EQ(api.ioctls, 0);
	EQ(uffd_api(fd, uffd_features() & UFFD_FEATURE_THREAD_ID), EINVAL);

	/* The refusals did no harm. */
	char *p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	DONE(copy(fd, p, page_of(1), PG, 0), PG);
	return 0;
}
