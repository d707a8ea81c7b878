/* SPDX-License-Identifier: MIT */
/* Any length can be asked for in huge pages: whole ones come. */
#include "kinds.h"

#ifndef MAP_HUGE_2MB
#define MAP_HUGE_2MB (21 << 26)
#endif

int main(void)
{
	struct thread t;

	start();
	need_features(UFFD_FEATURE_MISSING_HUGETLBFS);
	int fd = uffd_open(0);
	char *p = mmap(NULL, PG, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB, -1, 0);
	if (p == MAP_FAILED)
		skip("no free huge pages");
	EQ((uintptr_t)p % HUGE_PG, 0);
	struct memory m = {.kind = HUGE_PRIVATE, .unit = HUGE_PG, .len = HUGE_PG, .p = p};
	REGISTERS(fd, &m, MISSING);
	reader(&t, p + HUGE_PG - 1);
	FAULT(fd, p, 0);
	DONE(copy(fd, p, source(&m, 1, 3), HUGE_PG, 0), HUGE_PG);
	join(&t);
	EQ(t.byte, 3);
	ERR(munmap(p, PG), EINVAL);
	EQ(p[PG], 3);
	EQ(munmap(p, HUGE_PG), 0);
	EQ(try_read(p, NULL), SIGSEGV);
	CHECK(quiet(fd));
	return 0;
}
