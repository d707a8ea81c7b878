/* SPDX-License-Identifier: MIT */
/* The SIGBUS feature: no messages; a missing page raises SIGBUS with its exact address. */
#include "abi.h"

int main(void)
{
	siginfo_t info;

	start();
	int fd = uffd_open(UFFD_FEATURE_SIGBUS);
	char *p = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	EQ(try_read(p + 0x45, &info), SIGBUS);
	EQ(info.si_code, BUS_ADRERR);
	EQ((uintptr_t)info.si_addr, (uintptr_t)p + 0x45);
	EQ(try_write(p + PG + 0x46, 1, &info), SIGBUS);
	EQ((uintptr_t)info.si_addr, (uintptr_t)p + PG + 0x46);
	CHECK(quiet(fd));
	CHECK(!populated(p));
	DONE(copy(fd, p, page_of(3), PG, 0), PG);
	EQ(try_read(p + 0x45, &info), 0);
	EQ(try_write(p, 1, &info), 0);
	EQ(unreg(fd, p, 3 * PG), 0);
	EQ(try_read(p + PG, &info), 0);

	if (uffd_features() & UFFD_FEATURE_PAGEFAULT_FLAG_WP) {
		EQ(reg(fd, p, PG, WP), 0);
		EQ(protect(fd, p, PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
		EQ(try_read(p, &info), 0);
		EQ(try_write(p + 7, 1, &info), SIGBUS);
		EQ(info.si_code, BUS_ADRERR);
		EQ((uintptr_t)info.si_addr, (uintptr_t)p + 7);
		EQ(protect(fd, p, PG, 0), 0);
		EQ(try_write(p + 7, 1, &info), 0);
	}
	CHECK(quiet(fd));
	return 0;
}
