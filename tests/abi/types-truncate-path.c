/* SPDX-License-Identifier: MIT */
/* A file is cut off by its name, by truncate(2) and by opening it with O_TRUNC. */
#include "kinds.h"

static void check(struct memory *m)
{
	struct thread t;
	char path[64];
	int fd = uffd_open(0);

	snprintf(path, sizeof path, "/proc/self/fd/%d", m->file);
	REGISTERS(fd, m, MISSING);
	for (int i = 0; i < 2; i++) {
		DONE(copy(fd, m->p, memset(map(2), 3, 2 * PG), 2 * PG, 0), 2 * PG);
		if (i == 0) {
			EQ(truncate(path, PG), 0);
			EQ(m->p[0], 3);
			EQ(truncate(path, 0), 0);
		} else {
			int file = open(path, O_RDWR | O_TRUNC | O_CLOEXEC);
			CHECK(file >= 0);
			close(file);
		}
		EQ(try_read(m->p, NULL), SIGBUS);
		EQ(truncate(path, m->len), 0);
		reader(&t, m->p + PG);
		FAULT(fd, m->p + PG, 0);
		DONE(copy(fd, m->p + PG, page_of(4), PG, 0), PG);
		join(&t);
		EQ(t.byte, 4);
		EQ(ftruncate(m->file, 0), 0);
		EQ(ftruncate(m->file, m->len), 0);
	}
	CHECK(quiet(fd));
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM);
	return each(TMPFS | TMPFS_PRIVATE | MEMFD, 2, check);
}
