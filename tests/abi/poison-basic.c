/* SPDX-License-Identifier: MIT */
/* A poisoned page raises SIGBUS at the address that was touched, by whomever. */
#include "abi.h"

int main(void)
{
	siginfo_t info;

	start();
	need_features(UFFD_FEATURE_POISON);
	int fd = uffd_open(0);
	char *p = map(3);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	DONE(poison(fd, p + PG, PG, 0), PG);
	EQ(try_read(p + PG + 12, &info), SIGBUS);
	CHECK(info.si_code == BUS_ADRERR || info.si_code == BUS_MCEERR_AR);
	EQ((uintptr_t)info.si_addr, (uintptr_t)p + PG + 12);
	EQ(try_write(p + PG + 5, 1, &info), SIGBUS);
	EQ((uintptr_t)info.si_addr, (uintptr_t)p + PG + 5);
	EQ(try_read(p + PG, &info), SIGBUS);
	CHECK(quiet(fd));

	/* COPY heals it. */
	DONE(copy(fd, p + PG, page_of(6), PG, 0), PG);
	EQ(try_read(p + PG, &info), 0);
	CHECK(all(p + PG, PG, 6));
	return 0;
}
