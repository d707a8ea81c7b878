/* SPDX-License-Identifier: MIT */
/* mincore tells what the file has, whether it is mapped here or not. */
#include "kinds.h"

static void check(struct memory *m)
{
	unsigned char there[3];
	int fd = uffd_open(0);

	REGISTERS(fd, m, MISSING | MINOR);
	file_set(m, 0, 3);
	DONE(copy(fd, m->p + PG, page_of(4), PG, 0), PG);
	EQ(mincore(m->p, 3 * PG, there), 0);
	EQ(there[0], 1);
	EQ(there[1], 1);
	EQ(there[2], 0);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM);
	return each(SHMEM, 3, check);
}
