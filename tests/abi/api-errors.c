/* SPDX-License-Identifier: MIT */
/* What UFFDIO_API refuses, that it answers with zeros, and that a good call may follow. */
#include "abi.h"

int main(void)
{
	struct uffdio_api api = {.api = 0xAB, .features = 0, .ioctls = 5};

	start();
	int fd = uffd_new(O_NONBLOCK);
	ERR(ioctl(fd, UFFDIO_API, &api), EINVAL);
	EQ(api.api, 0);
	EQ(api.features, 0);
	EQ(api.ioctls, 0);

	api = (struct uffdio_api){.api = UFFD_API, .features = 1ull << 63, .ioctls = 5};
	ERR(ioctl(fd, UFFDIO_API, &api), EINVAL);
	EQ(api.api, 0);
	EQ(api.features, 0);
	EQ(api.ioctls, 0);

	api = (struct uffdio_api){.api = UFFD_API, .features = 1ull << 40 | 1};
	ERR(ioctl(fd, UFFDIO_API, &api), EINVAL);
	ERR(ioctl(fd, UFFDIO_API, NULL), EFAULT);
	ERR(ioctl(fd, UFFDIO_API, map_prot(1, PROT_NONE)), EFAULT);

	EQ(uffd_api(fd, 0), 0);
	CHECK(quiet(fd));
	return 0;
}
