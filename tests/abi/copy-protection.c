/* SPDX-License-Identifier: MIT */
/* The area's protection does not hinder COPY, and holds afterwards. */
#include "abi.h"

int main(void)
{
	start();
	int fd = uffd_open(0);
	char *none = map_prot(1, PROT_NONE), *readable = map_prot(1, PROT_READ);
	EQ(reg(fd, none, PG, MISSING), 0);
	EQ(reg(fd, readable, PG, MISSING), 0);
	DONE(copy(fd, none, page_of(1), PG, 0), PG);
	DONE(copy(fd, readable, page_of(2), PG, 0), PG);
	EQ(try_read(none, NULL), SIGSEGV);
	CHECK(all(readable, PG, 2));
	EQ(try_write(readable, 1, NULL), SIGSEGV);
	EQ(mprotect(none, PG, PROT_READ | PROT_WRITE), 0);
	EQ(mprotect(readable, PG, PROT_READ | PROT_WRITE), 0);
	CHECK(all(none, PG, 1));
	none[0] = readable[0] = 3;
	CHECK(quiet(fd));
	return 0;
}
