/* SPDX-License-Identifier: MIT */
/* A file mapping cannot be registered, nor can a range that has one in it. */
#include "abi.h"

int main(void)
{
	char name[] = "/tmp/abi-file-XXXXXX";

	start();
	int fd = uffd_open(0), file = mkstemp(name);
	CHECK(file >= 0);
	EQ(unlink(name), 0);
	EQ(write(file, page_of('f'), PG), PG);
	char *p = map(3);
	EQ((long)mmap(p + PG, PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, 0),
	   (long)(p + PG));
	if (reg(fd, p + PG, PG, MISSING) == 0)
		skip("files under /tmp are in memory");
	REFUSED(reg_out(fd, p, 3 * PG, MISSING), EINVAL);
	REFUSED(reg_out(fd, p, 3 * PG, WP), EINVAL);
	EQ(unreg(fd, p + PG, PG), EINVAL);
	EQ(unreg(fd, p, 3 * PG), EINVAL);
	FAILS(copy(fd, p, page_of(1), PG, 0), ENOENT);
	FAILS(copy(fd, p + PG, page_of(1), PG, 0), ENOENT);
	p[0] = p[2 * PG] = 1;
	EQ(p[PG], 'f');
	EQ(reg(fd, p, PG, MISSING), 0);
	CHECK(quiet(fd));
	return 0;
}
