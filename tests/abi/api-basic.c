/* SPDX-License-Identifier: MIT */
/* UFFDIO_API tells all features and the three ioctls of the descriptor. */
#include "abi.h"

int main(void)
{
	struct uffdio_api api = {.api = UFFD_API, .ioctls = ~0ull};

	start();
	EQ(ioctl(uffd_new(0), UFFDIO_API, &api), 0);
	EQ(api.api, UFFD_API);
	/* SET_MODE may be told of where there is read-write protection. */
	EQ(api.ioctls & ~(1ull << _UFFDIO_SET_MODE),
	   1ull << _UFFDIO_REGISTER | 1ull << _UFFDIO_UNREGISTER | 1ull << _UFFDIO_API);
	CHECK(!(api.ioctls >> _UFFDIO_SET_MODE & 1) || api.features & UFFD_FEATURE_RWP);

	/* The answer is what the system has, not what was asked for. */
	uint64_t features = api.features;
	api = (struct uffdio_api){.api = UFFD_API};
	if (features & UFFD_FEATURE_SIGBUS)
		api.features = UFFD_FEATURE_SIGBUS;
	EQ(ioctl(uffd_new(0), UFFDIO_API, &api), 0);
	EQ(api.features, features);
	if (features & UFFD_FEATURE_RWP) {
		api = (struct uffdio_api){.api = UFFD_API, .features = UFFD_FEATURE_RWP};
		EQ(ioctl(uffd_new(0), UFFDIO_API, &api), 0);
		CHECK(api.ioctls >> _UFFDIO_SET_MODE & 1);
	}
	return 0;
}
