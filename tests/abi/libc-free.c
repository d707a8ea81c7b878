/* SPDX-License-Identifier: MIT */
/* Memory that libc unmaps by itself is unmapped memory like any other: free() reports it. */
#include "abi.h"

static void *free_it(void *arg)
{
	free(arg);
	return NULL;
}

int main(void)
{
	size_t size = 1 << 20;
	struct thread t;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_UNMAP);
	/* Large enough for a mapping of its own, with a header in its first page. */
	char *p = malloc(size);
	char *begin = (char *)((uintptr_t)p & -PG);
	EQ(reg(fd, begin + 2 * PG, 4 * PG, MISSING), 0);
	run(&t, free_it, p);
	struct uffd_msg msg = next_msg(fd);
	EQ(msg.event, UFFD_EVENT_UNMAP);
	CHECK(msg.remove.start <= (uintptr_t)begin);
	CHECK(msg.remove.end >= (uintptr_t)p + size);
	join(&t);
	CHECK(quiet(fd));

	/* And what libc maps anew works. */
	p = malloc(size);
	memset(p, 1, size);
	CHECK(all(p, size, 1));
	free(p);
	CHECK(quiet(fd));
	return 0;
}
