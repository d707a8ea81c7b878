/* SPDX-License-Identifier: MIT */
/* A private mapping of a descriptor that can only read is as good as any. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	char path[64];
	size_t u = m->unit;

	file_set(m, 1, 4);
	snprintf(path, sizeof path, "/proc/self/fd/%d", m->file);
	int file = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(file >= 0);
	CHECK(mmap(m->p, m->len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, 0) == m->p);
	close(m->file);
	m->file = file;
	int fd = uffd_open(0);
	REGISTERS(fd, m, MISSING | MINOR);
	writer(&t, m->p, 1);
	FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(copy(fd, m->p, source(m, 1, 3), u, 0), u);
	join(&t);
	EQ(m->p[1], 3);
	writer(&t, m->p + u, 2);
	FAULT(fd, m->p + u, UFFD_PAGEFAULT_FLAG_MINOR | UFFD_PAGEFAULT_FLAG_WRITE);
	DONE(cont(fd, m->p + u, u, 0), u);
	join(&t);
	EQ(m->p[u], 2);
	CHECK(file_is(m, 1, 4));
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
	return each(MEMFD_PRIVATE | TMPFS_PRIVATE | HUGE_MEMFD_PRIVATE, 2, check);
}
