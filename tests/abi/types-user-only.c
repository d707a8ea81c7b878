/* SPDX-License-Identifier: MIT */
/* UFFD_USER_MODE_ONLY: a system call that would have to wait fails; what is there it reaches. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	int ends[2];
	size_t u = m->unit;

	CHECK(fd >= 0);
	EQ(uffd_api(fd, 0), 0);
	EQ(pipe2(ends, O_CLOEXEC), 0);
	REGISTERS(fd, m, MISSING | MINOR);
	ERR(write(ends[1], m->p, 100), EFAULT);
	if (m->view) {
		file_set(m, 0, 3);
		ERR(write(ends[1], m->p, 100), EFAULT);
		DONE(cont(fd, m->p, u, 0), u);
	} else {
		DONE(copy(fd, m->p, source(m, 1, 3), u, 0), u);
	}
	EQ(write(ends[1], m->p, 100), 100);
	ERR(read(ends[0], m->p + u, 100), EFAULT);
	CHECK(quiet(fd));
	reader(&t, m->p + u);
	FAULT(fd, m->p + u, 0);
	DONE(copy(fd, m->p + u, source(m, 1, 4), u, 0), u);
	join(&t);
	EQ(write(ends[1], m->p + u, 100), 100);
	EQ(read(ends[0], m->p + u, 100), 100);
	close(ends[0]);
	close(ends[1]);
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
	return each(SHMEM | HUGE, 2, check);
}
