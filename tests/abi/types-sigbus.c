/* SPDX-License-Identifier: MIT */
/* UFFD_FEATURE_SIGBUS: a signal in place of the message, for missing and for minor faults. */
#include "kinds.h"

static void check(struct memory *m)
{
	siginfo_t info;
	int fd = uffd_open(UFFD_FEATURE_SIGBUS);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING | MINOR);
	EQ(try_read(m->p + u + 5, &info), SIGBUS);
	EQ((uintptr_t)info.si_addr & -u, (uintptr_t)m->p + u);
	EQ(try_write(m->p + u, 1, NULL), SIGBUS);
	DONE(copy(fd, m->p + u, source(m, 1, 3), u, 0), u);
	EQ(try_write(m->p + u, 1, NULL), 0);
	if (m->view) {
		file_set(m, 0, 4);
		EQ(try_read(m->p, NULL), SIGBUS);
		DONE(cont(fd, m->p, u, 0), u);
		EQ(m->p[0], 4);
	}
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_SIGBUS | UFFD_FEATURE_MINOR_SHMEM);
	return each(SHMEM | HUGE, 2, check);
}
