/* SPDX-License-Identifier: MIT */
/* Before UFFDIO_API nothing works, and ioctls fail before their argument is looked at. */
#include "abi.h"

int main(void)
{
	static const unsigned long requests[] = {
		UFFDIO_REGISTER,     UFFDIO_UNREGISTER, UFFDIO_WAKE,   UFFDIO_COPY, UFFDIO_ZEROPAGE,
		UFFDIO_WRITEPROTECT, UFFDIO_CONTINUE,	UFFDIO_POISON, UFFDIO_MOVE, _IO(0xAA, 0x33),
	};
	struct uffd_msg msg;

	start();
	int fd = uffd_new(O_NONBLOCK);
	ERR(read(fd, &msg, sizeof msg), EINVAL);
	ERR(read(fd, &msg, 1), EINVAL);
	for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
		ERR(ioctl(fd, requests[i], NULL), EINVAL);
	EQ(reg(fd, map(1), PG, MISSING), EINVAL);
	EQ(wake(fd, map(1), PG), EINVAL);
	REFUSED(copy(fd, map(1), page_of(1), PG, 0), EINVAL);
	return 0;
}
