/* SPDX-License-Identifier: MIT */
/* What PAGEMAP_SCAN refuses. */
#include "abi.h"

static struct scan_arg good(char *p, struct scan_region *r)
{
	return (struct scan_arg){
		.start = (uintptr_t)p,
		.end = (uintptr_t)p + 2 * PG,
		.vec = (uintptr_t)r,
		.vec_len = 2,
		.category_mask = CAT_PRESENT,
		.return_mask = CAT_PRESENT,
	};
}

#define REFUSES(change, error)                                                                     \
	do {                                                                                       \
		arg = good(p, r);                                                                  \
		change;                                                                            \
		EQ(scan(&arg), -(error));                                                          \
	} while (0)

int main(void)
{
	struct scan_region r[2];
	struct scan_arg arg;

	start();
	int fd = uffd_open(0);
	char *p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	DONE(copy(fd, p, page_of(1), PG, 0), PG);
	arg = good(p, r);
	EQ(scan(&arg), 1);
	REFUSES(arg.flags = 4, EINVAL);
	REFUSES(arg.start++, EINVAL);
	REFUSES(arg.category_mask = 1ull << 40, EINVAL);
	REFUSES(arg.category_inverted = 1ull << 40, EINVAL);
	REFUSES(arg.category_anyof_mask = 1ull << 40, EINVAL);
	REFUSES(arg.return_mask = 1ull << 40, EINVAL);
	REFUSES(arg.vec = 0, EINVAL);
	REFUSES(arg.vec = 8, EFAULT);
	REFUSES(arg.start = -PG, EFAULT);

	int pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	arg = good(p, r);
	arg.size = sizeof arg - 8;
	ERR(ioctl(pagemap_fd, SCAN_IOCTL, &arg), EINVAL);
	ERR(ioctl(pagemap_fd, SCAN_IOCTL, NULL), EFAULT);
	return 0;
}
