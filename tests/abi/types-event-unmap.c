/* SPDX-License-Identifier: MIT */
/* EVENT_UNMAP on file memory; the file keeps what it was given. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	struct call c;
	int fd = uffd_open(UFFD_FEATURE_EVENT_UNMAP);
	size_t u = m->unit;

	REGISTERS(fd, m, MISSING);
	DONE(copy(fd, m->p, source(m, 1, 3), u, 0), u);
	call_munmap(&c, m->p, u);
	EVENT(fd, UFFD_EVENT_UNMAP, m->p, m->p + u, 0);
	EQ(returned(&c), 0);
	char *rest = m->p + u;
	m->p = NULL;
	EQ(try_read(rest - u, NULL), SIGSEGV);
	if (m->view && m->kind & SHARED)
		CHECK(file_is(m, 0, 3));
	reader(&t, rest);
	FAULT(fd, rest, 0);
	DONE(copy(fd, rest, source(m, 1, 4), u, 0), u);
	join(&t);
	EQ(t.byte, 4);
	CHECK(quiet(fd));
	close(fd);
	EQ(munmap(rest, u), 0);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_EVENT_UNMAP);
	return each(SHMEM | HUGE, 2, check);
}
