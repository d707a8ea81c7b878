/* SPDX-License-Identifier: MIT */
/* An argument that can be read but not written: the work is done, the answer is EFAULT. */
#include "abi.h"

static void *read_only(const void *arg, size_t size)
{
	char *page = map(1);

	memcpy(page, arg, size);
	EQ(mprotect(page, PG, PROT_READ), 0);
	return page;
}

int main(void)
{
	struct uffdio_api api = {.api = UFFD_API};

	start();
	int fd = uffd_new(O_NONBLOCK);
	ERR(ioctl(fd, UFFDIO_API, read_only(&api, sizeof api)), EFAULT);
	EQ(uffd_api(fd, 0), 0);

	char *p = map(3);
	struct uffdio_register r = {.range = {(uintptr_t)p, 3 * PG}, .mode = MISSING};
	ERR(ioctl(fd, UFFDIO_REGISTER, read_only(&r, sizeof r)), EFAULT);
	struct uffdio_copy c = {(uintptr_t)p, (uintptr_t)page_of(6), PG, 0, 0};
	ERR(ioctl(fd, UFFDIO_COPY, read_only(&c, sizeof c)), EFAULT);
	CHECK(all(p, PG, 6));
	struct uffdio_zeropage z = {.range = {(uintptr_t)p + PG, PG}};
	ERR(ioctl(fd, UFFDIO_ZEROPAGE, read_only(&z, sizeof z)), EFAULT);
	CHECK(populated(p + PG));
	/* What has no answer to write needs no more than to be read. */
	EQ(ioctl(fd, UFFDIO_WAKE, read_only(&r, sizeof r)), 0);
	EQ(ioctl(fd, UFFDIO_UNREGISTER, read_only(&r, sizeof r)), 0);
	p[2 * PG] = 1;
	CHECK(quiet(fd));
	return 0;
}
