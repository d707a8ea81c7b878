/* SPDX-License-Identifier: MIT */
/* REGISTER of shmem and hugetlb: every mode and every combination, and what each is offered. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0);

	for (uint64_t modes = 1; modes < 8; modes++) {
		REGISTERS(fd, m, modes);
		EQ(unreg(fd, m->p, m->len), 0);
		REGISTERS(fd, m, modes);
		REGISTERS(fd, m, 8 - modes);
		EQ(unreg(fd, m->p, m->len), 0);
	}
	REFUSED(reg_out(fd, m->p, m->len, 0), EINVAL);
	for (uint64_t modes = 16; modes < 24; modes++)
		REFUSED(reg_out(fd, m->p, m->len, modes), EINVAL);
	CHECK(quiet(fd));
	close(fd);
	memset(m->p, 1, m->len);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_MINOR_SHMEM);
	return each(SHMEM | HUGE, 2, check);
}
