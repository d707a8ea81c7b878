/* SPDX-License-Identifier: MIT */
/* The system call's flags: which are known, and what they do to the descriptor. */
#include "abi.h"

int main(void)
{
	start();
	close(uffd_new(0)); /* skips where userfaultfd is refused altogether */
	ERR(syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY | 2), EINVAL);
	ERR(syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY | 0x40000000), EINVAL);
	ERR(syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY | O_WRONLY | O_APPEND), EINVAL);

	int fd = uffd_new(0);
	EQ(fcntl(fd, F_GETFD), 0);
	EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY);

	fd = uffd_new(O_CLOEXEC);
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);

	fd = uffd_new(O_NONBLOCK);
	EQ(fcntl(fd, F_GETFD), 0);
	EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_NONBLOCK);

	fd = syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY | O_CLOEXEC | O_NONBLOCK);
	CHECK(fd >= 0);
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_NONBLOCK);
	return 0;
}
