/* SPDX-License-Identifier: MIT */
/* A shared mapping that can never be written is refused with EPERM; a private one is not. */
#include "kinds.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 16
#endif

static void refused(int file, int prot)
{
	char *p = mmap(NULL, 2 * PG, prot, MAP_SHARED, file, 0);

	CHECK(p != MAP_FAILED);
	for (int async = 0; async < 2; async++) {
		int fd = uffd_open(async ? UFFD_FEATURE_WP_ASYNC : 0);
		for (uint64_t modes = 1; modes < 8; modes++)
			REFUSED(reg_out(fd, p, 2 * PG, modes), EPERM);
		EQ(unreg(fd, p, 2 * PG), 0);
		FAILS(copy(fd, p, page_of(1), PG, 0), ENOENT);
		close(fd);
	}
	EQ(p[0], 'a');
	EQ(munmap(p, 2 * PG), 0);
}

static void check(struct memory *m)
{
	char path[64];

	file_set(m, 0, 'a');
	snprintf(path, sizeof path, "/proc/self/fd/%d", m->file);
	int file = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(file >= 0);
	refused(file, PROT_READ);
	char *p = mmap(NULL, 2 * PG, PROT_READ, MAP_PRIVATE, file, 0);
	CHECK(p != MAP_FAILED);
	int fd = uffd_open(0);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	DONE(copy(fd, p + PG, page_of(1), PG, 0), PG);
	EQ(p[PG], 1);
	EQ(munmap(p, 2 * PG), 0);
	close(file);
	close(fd);
	if (m->kind != MEMFD)
		return;

	/* A memfd that is sealed against writing. */
	EQ(munmap(m->p, m->len), 0);
	EQ(munmap(m->view, m->len), 0);
	m->p = m->view = NULL;
	EQ(fcntl(m->file, F_ADD_SEALS, F_SEAL_WRITE), 0);
	refused(m->file, PROT_READ);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_ASYNC);
	return each(MEMFD | TMPFS, 2, check);
}
