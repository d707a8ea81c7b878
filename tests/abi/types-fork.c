/* SPDX-License-Identifier: MIT */
/* A child is not registered: it makes pages and writes protected ones as if nothing was. */
#include "kinds.h"

#include <sys/wait.h>

static void check(struct memory *m)
{
	int fd = uffd_open(0), status;
	size_t u = m->unit;

	need_spare(m->kind, 3);
	REGISTERS(fd, m, MISSING | WP);
	DONE(copy(fd, m->p, source(m, 1, 3), u, UFFDIO_COPY_MODE_WP), u);
	EQ(protect(fd, m->p + u, u, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		alarm(20);
		bool good = m->p[0] == 3 && !(pagemap(m->p) & PM_UFFD_WP);
		m->p[0] = 4;
		m->p[u] = 5;
		good = good && m->p[2 * u] == 0;
		m->p[2 * u] = 6;
		_exit(good && m->p[0] == 4 && m->p[1] == 3 ? 0 : 1);
	}
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 0);
	CHECK(quiet(fd));
	/* The parent is what it was, and sees the file change. */
	CHECK(pagemap(m->p) & PM_UFFD_WP);
	CHECK(pagemap(m->p + u) & PM_UFFD_WP);
	EQ(m->p[0], m->kind & SHARED ? 4 : 3);
	/* What the child wrote, or the page of the file that it copied. */
	EQ(m->p[2 * u], m->kind & SHARED ? 6 : 0);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(SHMEM | HUGE_MEMFD | HUGE_SHARED, 3, check);
}
