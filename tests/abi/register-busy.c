/* SPDX-License-Identifier: MIT */
/* Memory that belongs to another userfaultfd is busy until that one lets go. */
#include "abi.h"

int main(void)
{
	start();
	int fd = uffd_open(0), other = uffd_open(0);
	char *p = map(3);
	EQ(reg(fd, p + PG, PG, MISSING), 0);
	REFUSED(reg_out(other, p + PG, PG, MISSING), EBUSY);
	/* All or nothing: the free pages around it are not taken either. */
	REFUSED(reg_out(other, p, 3 * PG, MISSING), EBUSY);
	FAILS(copy(other, p, page_of(1), PG, 0), ENOENT);
	FAILS(copy(other, p + 2 * PG, page_of(1), PG, 0), ENOENT);
	EQ(reg(fd, p + PG, PG, MISSING), 0);

	EQ(unreg(fd, p + PG, PG), 0);
	EQ(reg(other, p, 3 * PG, MISSING), 0);
	EQ(reg(fd, p, PG, MISSING), EBUSY);
	close(other);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	return 0;
}
