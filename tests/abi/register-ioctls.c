/* SPDX-License-Identifier: MIT */
/* REGISTER answers with the ioctls that the range can be given. */
#include "abi.h"

int main(void)
{
	start();
	int fd = uffd_open(0);
	uint64_t features = uffd_features();
	uint64_t basic = 1 << _UFFDIO_WAKE | 1 << _UFFDIO_COPY | 1 << _UFFDIO_ZEROPAGE;

	if (features & UFFD_FEATURE_POISON)
		basic |= 1 << _UFFDIO_POISON;
	if (features & UFFD_FEATURE_MOVE)
		basic |= 1 << _UFFDIO_MOVE;
	DONE(reg_out(fd, map(1), PG, MISSING), basic);
	if (!(features & UFFD_FEATURE_PAGEFAULT_FLAG_WP))
		return 0;
	basic |= 1 << _UFFDIO_WRITEPROTECT;
	DONE(reg_out(fd, map(1), PG, WP), basic);
	DONE(reg_out(fd, map(1), PG, MISSING | WP), basic);
	return 0;
}
