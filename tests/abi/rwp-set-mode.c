/* SPDX-License-Identifier: MIT */
/* SET_MODE switches between waiting and letting pass at run time. */
#include "abi.h"

static int set_mode(int fd, uint64_t enable, uint64_t disable)
{
	struct uffdio_set_mode arg = {enable, disable};

	return ioctl(fd, UFFDIO_SET_MODE, &arg) ? errno : 0;
}

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(UFFD_FEATURE_RWP | UFFD_FEATURE_RWP_ASYNC);
	char *p = map(2);
	memset(p, 1, 2 * PG);
	EQ(reg(fd, p, 2 * PG, RWP), 0);
	EQ(set_mode(fd, 0, UFFD_FEATURE_RWP_ASYNC), 0);
	EQ(rwprotect(fd, p, 2 * PG, UFFDIO_RWPROTECT_MODE_RWP), 0);
	reader(&t, p);
	FAULT(fd, p, UFFD_PAGEFAULT_FLAG_RWP);
	EQ(rwprotect(fd, p, PG, 0), 0);
	join(&t);
	EQ(set_mode(fd, UFFD_FEATURE_RWP_ASYNC, 0), 0);
	EQ(p[PG], 1);
	CHECK(quiet(fd));

	EQ(set_mode(fd, UFFD_FEATURE_RWP_ASYNC, UFFD_FEATURE_RWP_ASYNC), EINVAL);
	EQ(set_mode(fd, UFFD_FEATURE_RWP, 0), EINVAL);
	EQ(set_mode(fd, 0, UFFD_FEATURE_SIGBUS), EINVAL);
	EQ(set_mode(fd, 1ull << 40, 0), EINVAL);
	EQ(set_mode(fd, 0, 0), 0);
	ERR(ioctl(fd, UFFDIO_SET_MODE, NULL), EFAULT);
	EQ(set_mode(uffd_open(0), UFFD_FEATURE_RWP_ASYNC, 0), EINVAL);
	return 0;
}
