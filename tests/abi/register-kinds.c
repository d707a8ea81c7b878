/* SPDX-License-Identifier: MIT */
/* Anonymous private memory comes in many guises; all of them can be registered. */
#include "abi.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

static _Alignas(4096) char bss[3 * 4096];

static void works(int fd, char *page)
{
	struct thread t;

	EQ(reg(fd, page, PG, MISSING), 0);
	EQ(madvise(page, PG, MADV_DONTNEED), 0);
	reader(&t, page);
	FAULT(fd, page, 0);
	DONE(copy(fd, page, page_of(0x19), PG, 0), PG);
	join(&t);
	EQ(t.byte, 0x19);
	EQ(unreg(fd, page, PG), 0);
	CHECK(all(page, PG, 0x19));
}

int main(void)
{
	static const int flags[] = {
		0, MAP_NORESERVE, MAP_STACK, MAP_POPULATE, MAP_GROWSDOWN, MAP_NORESERVE | MAP_STACK,
	};

	start();
	int fd = uffd_open(0);
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
		char *p = mmap(NULL, 4 * PG, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | flags[i], -1, 0);
		CHECK(p != MAP_FAILED);
		works(fd, p + PG);
		memset(p, 1, 4 * PG);
	}
	/* The heap, from the allocator and from the break, and zeroed static memory. */
	char *heap = aligned_alloc(PG, 8 * PG);
	memset(heap, 2, 8 * PG);
	works(fd, heap + 2 * PG);
	EQ(heap[PG], 2);
	EQ(heap[3 * PG], 2);
	char *end = sbrk(4 * PG);
	CHECK(end != (void *)-1);
	works(fd, (char *)(((uintptr_t)end + PG - 1) & -PG));
	bss[0] = bss[2 * PG] = 3;
	works(fd, bss + PG);
	EQ(bss[0], 3);
	EQ(bss[2 * PG], 3);
	CHECK(quiet(fd));
	return 0;
}
