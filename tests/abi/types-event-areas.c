/* SPDX-License-Identifier: MIT */
/* One advice over several kinds of memory: an event for each mapping, and each loses its pages. */
#include "kinds.h"

int main(void)
{
	struct call c;

	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM);
	int fd = uffd_open(UFFD_FEATURE_EVENT_REMOVE), file = memfd_create("abi", MFD_CLOEXEC);
	char *p = map(3);
	EQ(ftruncate(file, 2 * PG), 0);
	CHECK(mmap(p + PG, PG, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) == p + PG);
	CHECK(mmap(p + 2 * PG, PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, PG) ==
	      p + 2 * PG);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	for (int i = 0; i < 3; i++)
		DONE(copy(fd, p + i * PG, page_of(i + 1), PG, 0), PG);
	call_madvise(&c, p, 3 * PG, MADV_DONTNEED);
	for (int i = 0; i < 3; i++)
		EVENT(fd, UFFD_EVENT_REMOVE, p + i * PG, p + (i + 1) * PG, 0);
	EQ(returned(&c), 0);
	EQ(p[PG], 2);
	CHECK(quiet(fd));
	DONE(copy(fd, p, page_of(5), PG, 0), PG);
	DONE(copy(fd, p + 2 * PG, page_of(6), PG, 0), PG);
	EQ(p[0], 5);
	EQ(p[2 * PG], 6);
	CHECK(quiet(fd));
	return 0;
}
