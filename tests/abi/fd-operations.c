/* SPDX-License-Identifier: MIT */
/* Calls that a userfaultfd does not serve, and what they answer. */
#include "abi.h"

#include <sys/uio.h>

int main(void)
{
	char buffer[64] = {0};
	int number = 0;

	start();
	int fd = uffd_open(0);
	ERR(write(fd, buffer, sizeof buffer), EBADF);
	ERR(pread(fd, buffer, sizeof buffer, 0), ESPIPE);
	ERR(pwrite(fd, buffer, sizeof buffer, 0), ESPIPE);
	EQ((intptr_t)mmap(NULL, PG, PROT_READ, MAP_PRIVATE, fd, 0), (intptr_t)MAP_FAILED);
	EQ(errno, ENODEV);
	EQ(lseek(fd, 0, SEEK_SET), 0);
	EQ(lseek(fd, 100, SEEK_SET), 0);
	EQ(lseek(fd, 0, SEEK_CUR), 0);
	ERR(ioctl(fd, FIONREAD, &number), EINVAL);
	ERR(ioctl(fd, _IO(0xAA, 0x3e), 0), EINVAL);
	ERR(ioctl(fd, _IO('x', 1), 0), EINVAL);
	/* A known number with a wrong size or direction is another ioctl. */
	ERR(ioctl(fd, _IOWR(0xAA, _UFFDIO_WAKE, struct uffdio_range), buffer), EINVAL);
	ERR(ioctl(fd, _IOWR(0xAA, _UFFDIO_COPY, struct uffdio_range), buffer), EINVAL);
	CHECK(quiet(fd));
	return 0;
}
