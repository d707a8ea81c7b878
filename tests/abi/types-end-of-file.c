/* SPDX-License-Identifier: MIT */
/* Beyond the end of the file: SIGBUS without a message, and nothing can be put there. */
#include "kinds.h"

static void check(struct memory *m)
{
	siginfo_t info;
	int fd = uffd_open(0);
	size_t u = m->unit;

	EQ(ftruncate(m->file, u), 0);
	REGISTERS(fd, m, MISSING | MINOR | WP);
	EQ(try_read(m->p + u + 9, &info), SIGBUS);
	EQ(info.si_code, BUS_ADRERR);
	EQ((uintptr_t)info.si_addr & -u, (uintptr_t)m->p + u);
	EQ(try_write(m->p + 2 * u, 1, NULL), SIGBUS);
	CHECK(quiet(fd));
	FAILS(cont(fd, m->p + u, u, 0), u == PG ? EINVAL : EFAULT);
	if (u == PG) {
		FAILS(zeropage(fd, m->p + u, u, 0), EFAULT);
		FAILS(poison(fd, m->p + u, u, 0), EFAULT);
	}
	/* As far as the file goes. */
	FAILS(copy(fd, m->p + u, source(m, 1, 3), u, 0), EFAULT);
	PARTLY(copy(fd, m->p, source(m, 2, 3), 2 * u, 0), u);
	EQ(state(m->p + u), 0);
	CHECK(all(m->p, u, 3));
	EQ(lseek(m->file, 0, SEEK_END), u);
	/* A mark can be set there all the same. */
	EQ(protect(fd, m->p + 2 * u, u, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	CHECK(pagemap(m->p + 2 * u) & PM_UFFD_WP);
	EQ(try_read(m->p + 2 * u, NULL), SIGBUS);
	EQ(try_write(m->p + 2 * u, 1, NULL), SIGBUS);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_MINOR_SHMEM);
	return each(WITH_FD & ~HUGE_MEMFD_PRIVATE, 3, check);
}
