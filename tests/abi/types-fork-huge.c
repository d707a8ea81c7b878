/* SPDX-License-Identifier: MIT */
/*
 * The same as types-fork of private huge pages: a child that reads an absent one makes it for
 * itself alone, and not a page of the file.
 */
#include "kinds.h"

#include <sys/wait.h>

static void check(struct memory *m)
{
	int fd = uffd_open(0), status;
	size_t u = m->unit;
	struct thread t;

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
	/* The parent is what it was. */
	CHECK(pagemap(m->p) & PM_UFFD_WP);
	CHECK(pagemap(m->p + u) & PM_UFFD_WP);
	EQ(m->p[0], 3);
	reader(&t, m->p + 2 * u);
	FAULT(fd, m->p + 2 * u, 0);
	DONE(copy(fd, m->p + 2 * u, source(m, 1, 7), u, 0), u);
	join(&t);
	EQ(t.byte, 7);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(HUGE_MEMFD_PRIVATE | HUGE_PRIVATE, 3, check);
}
