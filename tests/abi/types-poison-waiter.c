/* SPDX-License-Identifier: MIT */
/* POISON answers one that waits for a missing page or a minor fault: with SIGBUS. */
#include "kinds.h"

static void *touch(void *arg)
{
	return (void *)(intptr_t)try_read(arg, NULL);
}

static void check(struct memory *m)
{
	struct thread t;
	void *sig;
	int fd = uffd_open(0);
	size_t u = m->unit;

	if (m->view)
		file_set(m, 0, 3);
	REGISTERS(fd, m, MISSING | MINOR);
	for (int i = 0; i < 2; i++) {
		run(&t, touch, m->p + i * u);
		FAULT(fd, m->p + i * u, !i && m->view ? UFFD_PAGEFAULT_FLAG_MINOR : 0);
		DONE(poison(fd, m->p + i * u, u, 0), u);
		EQ(pthread_join(t.id, &sig), 0);
		EQ((intptr_t)sig, SIGBUS);
	}
	ERR(madvise(m->p, u, MADV_POPULATE_READ), EHWPOISON);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_POISON | UFFD_FEATURE_MINOR_SHMEM);
	return each(SHMEM | HUGE, 2, check);
}
