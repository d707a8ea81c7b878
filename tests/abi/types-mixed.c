/* SPDX-License-Identifier: MIT */
/* A range over memory of several kinds: registered as one, filled one by one. */
#include "kinds.h"

int main(void)
{
	struct memory m;

	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MINOR_SHMEM);
	int fd = uffd_open(0);
	char *p = map(4);
	int file = memfd_create("abi", MFD_CLOEXEC);
	EQ(ftruncate(file, 2 * PG), 0);
	CHECK(mmap(p + PG, PG, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) == p + PG);
	CHECK(mmap(p + 2 * PG, PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, PG) ==
	      p + 2 * PG);
	REFUSED(reg_out(fd, p, 4 * PG, MINOR), EINVAL);
	m = (struct memory){.unit = PG, .len = 4 * PG, .p = p};
	REGISTERS(fd, &m, MISSING);
	FAILS(copy(fd, p, source(&m, 2, 1), 2 * PG, 0), ENOENT);
	FAILS(copy(fd, p + PG, source(&m, 2, 1), 2 * PG, 0), ENOENT);
	FAILS(zeropage(fd, p + 2 * PG, 2 * PG, 0), ENOENT);
	for (int i = 0; i < 4; i++)
		DONE(copy(fd, p + i * PG, source(&m, 1, i + 1), PG, 0), PG);
	for (int i = 0; i < 4; i++)
		CHECK(all(p + i * PG, PG, i + 1));
	EQ(unreg(fd, p, 4 * PG), 0);

	/* Protection goes over all of them. */
	REGISTERS(fd, &m, WP);
	EQ(protect(fd, p, 4 * PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	for (int i = 0; i < 4; i++)
		CHECK(pagemap(p + i * PG) & PM_UFFD_WP);
	EQ(protect(fd, p, 4 * PG, 0), 0);
	memset(p, 1, 4 * PG);
	CHECK(quiet(fd));
	return 0;
}
