/* SPDX-License-Identifier: MIT */
/* Registering again: new modes replace the old, but a subset of them changes nothing. */
#include "abi.h"

int main(void)
{
	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	int fd = uffd_open(0);

	/* MISSING after WP: no longer WP, and what was protected is free. */
	char *p = map(2);
	p[0] = 1;
	EQ(reg(fd, p, 2 * PG, WP), 0);
	EQ(protect(fd, p, PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	EQ(protect(fd, p, PG, UFFDIO_WRITEPROTECT_MODE_WP), ENOENT);
	FAILS(copy(fd, p + PG, page_of(1), PG, UFFDIO_COPY_MODE_WP), EINVAL);
	p[0] = 2;
	CHECK(quiet(fd));

	/* MISSING after both leaves both, and more is more. */
	p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING | WP), 0);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	DONE(copy(fd, p, page_of(1), PG, UFFDIO_COPY_MODE_WP), PG);
	p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	EQ(reg(fd, p, 2 * PG, MISSING | WP), 0);
	DONE(copy(fd, p, page_of(1), PG, UFFDIO_COPY_MODE_WP), PG);
	struct thread t;
	reader(&t, p + PG);
	FAULT(fd, p + PG, 0);
	DONE(zeropage(fd, p + PG, PG, 0), PG);
	join(&t);
	return 0;
}
