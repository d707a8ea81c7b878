/* SPDX-License-Identifier: MIT */
/* The argument of each range ioctl must be readable. */
#include "abi.h"

int main(void)
{
	static const unsigned long requests[] = {
		UFFDIO_REGISTER, UFFDIO_UNREGISTER,   UFFDIO_WAKE,     UFFDIO_COPY,
		UFFDIO_ZEROPAGE, UFFDIO_WRITEPROTECT, UFFDIO_CONTINUE,
	};

	start();
	int fd = uffd_open(0);
	void *closed = map_prot(1, PROT_NONE);
	for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
		ERR(ioctl(fd, requests[i], NULL), EFAULT);
		ERR(ioctl(fd, requests[i], closed), EFAULT);
		ERR(ioctl(fd, requests[i], 8ul), EFAULT);
	}
	if (uffd_features() & UFFD_FEATURE_POISON)
		ERR(ioctl(fd, UFFDIO_POISON, closed), EFAULT);
	if (uffd_features() & UFFD_FEATURE_MOVE)
		ERR(ioctl(fd, UFFDIO_MOVE, closed), EFAULT);
	return 0;
}
