/* SPDX-License-Identifier: MIT */
/* EVENT_REMOVE on file memory: MADV_REMOVE and MADV_DONTNEED report before the pages go. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	struct call c;
	int fd = uffd_open(UFFD_FEATURE_EVENT_REMOVE);
	size_t u = m->unit;
	struct pollfd ready = {.fd = fd, .events = POLLIN};

	REGISTERS(fd, m, MISSING | MINOR);
	DONE(copy(fd, m->p, source(m, 2, 3), 2 * u, 0), 2 * u);
	call_madvise(&c, m->p, u, MADV_DONTNEED);
	EQ(poll(&ready, 1, -1), 1);
	EQ(m->p[0], 3);
	EVENT(fd, UFFD_EVENT_REMOVE, m->p, m->p + u, 0);
	EQ(returned(&c), 0);
	reader(&t, m->p);
	FAULT(fd, m->p, m->kind & SHARED ? UFFD_PAGEFAULT_FLAG_MINOR : 0);
	if (m->kind & SHARED)
		DONE(cont(fd, m->p, u, 0), u);
	else
		DONE(copy(fd, m->p, source(m, 1, 3), u, 0), u);
	join(&t);
	EQ(t.byte, 3);

	call_madvise(&c, m->p + u, u, MADV_REMOVE);
	if (!(m->kind & SHARED)) {
		EQ(returned(&c), -EACCES);
		CHECK(quiet(fd));
		close(fd);
		return;
	}
	EQ(poll(&ready, 1, -1), 1);
	EQ(m->p[u], 3);
	FAILS(copy(fd, m->p + 2 * u, source(m, 1, 3), u, 0), EAGAIN);
	EVENT(fd, UFFD_EVENT_REMOVE, m->p + u, m->p + 2 * u, 0);
	EQ(returned(&c), 0);
	reader(&t, m->p + u);
	FAULT(fd, m->p + u, 0);
	DONE(copy(fd, m->p + u, source(m, 1, 4), u, 0), u);
	join(&t);
	EQ(t.byte, 4);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
	return each(SHMEM | HUGE, 3, check);
}
