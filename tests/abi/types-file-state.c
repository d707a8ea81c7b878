/* SPDX-License-Identifier: MIT */
/* A fill shows in the file as one page more, and in nothing else of it. */
#include "kinds.h"

#include <sys/resource.h>
#include <sys/stat.h>

static void check(struct memory *m)
{
	struct rlimit old, limit;
	struct stat before, after;
	int fd = uffd_open(0), flags = fcntl(m->file, F_GETFL);
	size_t u = m->unit;

	EQ(lseek(m->file, 123, SEEK_SET), 123);
	EQ(fstat(m->file, &before), 0);
	REGISTERS(fd, m, MISSING);
	/* The limit on the size of files written is not about this. */
	EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = (struct rlimit){PG, old.rlim_max};
	EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
	DONE(copy(fd, m->p + u, source(m, 1, 3), u, 0), u);
	EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
	EQ(fstat(m->file, &after), 0);
	EQ(after.st_size, before.st_size);
	EQ(after.st_blocks - before.st_blocks, m->kind & SHARED ? u / 512 : 0);
	EQ(lseek(m->file, 0, SEEK_CUR), 123);
	EQ(fcntl(m->file, F_GETFL), flags);
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM);
	return each(WITH_FD, 2, check);
}
