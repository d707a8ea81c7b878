/* SPDX-License-Identifier: MIT */
/* realloc moves a large block by mremap, which is reported like the program's own. */
#include "abi.h"

#include <malloc.h>

static char *block;

static void *grow(void *arg)
{
	block = realloc(block, (size_t)arg);
	return NULL;
}

int main(void)
{
	size_t size = 1 << 20, mapped;
	struct uffd_msg msg;
	struct thread t;
	char *begin;

	start();
	/* With MALLOC_PERTURB_ realloc fills what it adds, and waits for somebody to serve that. */
	mallopt(M_PERTURB, 0);
	int fd = uffd_open(UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_UNMAP);
	block = malloc(size);
	begin = (char *)((uintptr_t)block & -PG);
	mapped = (malloc_usable_size(block) + PG) & -PG;
	/* It cannot grow where it is; nor can its neighbours be one with it. */
	mmap(begin + mapped, PG, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
	     0);
	EQ(reg(fd, begin, mapped, MISSING), 0);
	run(&t, grow, (void *)(4 * size));
	msg = next_msg(fd);
	EQ(msg.event, UFFD_EVENT_REMAP);
	EQ(msg.remap.from, (uintptr_t)begin);
	EQ(msg.remap.len, mapped);
	EVENT(fd, UFFD_EVENT_UNMAP, begin, begin + mapped, 0);
	join(&t);
	EQ(msg.remap.to, (uintptr_t)block & -PG);

	/* What was missing still is, in the new place. */
	reader(&t, block + size / 2);
	FAULT(fd, (char *)((uintptr_t)(block + size / 2) & -PG), 0);
	DONE(zeropage(fd, (char *)((uintptr_t)(block + size / 2) & -PG), PG, 0), PG);
	join(&t);
	CHECK(quiet(fd));
	return 0;
}
