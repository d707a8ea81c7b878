/* SPDX-License-Identifier: MIT */
/* The other entry point: /dev/userfaultfd and its one ioctl. */
#include "abi.h"

static int new_from(int dev, unsigned long flags)
{
	return ioctl(dev, USERFAULTFD_IOC_NEW, flags);
}

int main(void)
{
	char byte = 0;

	start();
	int dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	if (dev < 0)
		skip("no /dev/userfaultfd for this user");
	int tried = new_from(dev, 0);
	if (tried < 0 && (errno == EPERM || errno == ENOSYS))
		skip("the ioctl of /dev/userfaultfd is refused");
	CHECK(tried >= 0);
	close(tried);
	EQ(fcntl(dev, F_GETFD), FD_CLOEXEC);
	ERR(ioctl(dev, UFFDIO_API, NULL), EINVAL);
	ERR(ioctl(dev, _IO(0xAA, 1), 0), EINVAL);
	ERR(read(dev, &byte, 1), EINVAL);
	ERR(write(dev, &byte, 1), EINVAL);
	ERR(new_from(dev, 2), EINVAL);

	int fd = new_from(dev, O_CLOEXEC | O_NONBLOCK);
	CHECK(fd >= 0);
	close(dev);
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_NONBLOCK);

	char *p = map(1);
	struct thread t;
	EQ(uffd_api(fd, 0), 0);
	EQ(reg(fd, p, PG, MISSING), 0);
	reader(&t, p);
	FAULT(fd, p, 0);
	DONE(copy(fd, p, page_of(7), PG, 0), PG);
	join(&t);
	EQ(t.byte, 7);
	return 0;
}
