/* SPDX-License-Identifier: MIT */
/* REGISTER over memory of which some cannot be: nothing of the range is registered. */
#include "kinds.h"

static void check(struct memory *m)
{
	int fd = uffd_open(0), file = regular_file();
	size_t u = m->unit;

	if (file < 0)
		skip_host("no file system on a disk");
	EQ(ftruncate(file, u), 0);
	CHECK(mmap(m->p + u, u, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0) == m->p + u);
	REFUSED(reg_out(fd, m->p, m->len, MISSING), EINVAL);
	FAILS(copy(fd, m->p, source(m, 1, 1), u, 0), ENOENT);
	m->p[0] = m->p[2 * u] = 1;
	EQ(unreg(fd, m->p, m->len), EINVAL);
	EQ(reg(fd, m->p, u, MISSING), 0);
	CHECK(quiet(fd));
	close(file);
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
	return each(SHMEM | HUGE, 3, check);
}
