/* SPDX-License-Identifier: MIT */
/* A file's pages are made one huge page: minor faults and CONTINUE stay in small pages. */
#include "kinds.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

int main(void)
{
	struct thread t;

	start();
	need_features(UFFD_FEATURE_MINOR_SHMEM);
	int fd = uffd_open(0), file = memfd_create("abi", MFD_CLOEXEC);
	size_t len = 2 * HUGE_PG;
	EQ(ftruncate(file, len), 0);
	char *room = mmap(NULL, 3 * len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *p = (char *)(((uintptr_t)room + HUGE_PG - 1) & -HUGE_PG), *view = p + len;
	CHECK(mmap(p, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) == p);
	CHECK(mmap(view, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) == view);
	for (size_t i = 0; i < len; i += PG)
		memset(view + i, i / PG % 100 + 1, PG);
	struct memory m = {.kind = MEMFD, .unit = PG, .len = len, .p = p};
	REGISTERS(fd, &m, MINOR);
	if (madvise(view, len, MADV_COLLAPSE))
		skip_host("the host makes no huge pages of a file's");
	reader(&t, p + 5 * PG + 3);
	FAULT(fd, p + 5 * PG, UFFD_PAGEFAULT_FLAG_MINOR);
	DONE(cont(fd, p + 5 * PG, PG, 0), PG);
	join(&t);
	EQ(t.byte, 6);
	EQ(state(p + 4 * PG), 0);
	reader(&t, p + 6 * PG);
	FAULT(fd, p + 6 * PG, UFFD_PAGEFAULT_FLAG_MINOR);
	/* The rest in one go, up to where one is mapped already, and on. */
	PARTLY(cont(fd, p, len, 0), 5 * PG);
	DONE(cont(fd, p + 6 * PG, len - 6 * PG, 0), len - 6 * PG);
	join(&t);
	EQ(t.byte, 7);
	for (size_t i = 0; i < len; i += PG)
		CHECK(all(p + i, PG, i / PG % 100 + 1));
	CHECK(quiet(fd));
	return 0;
}
