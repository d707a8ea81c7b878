/* SPDX-License-Identifier: MIT */
/* malloc gives memory back by the break, or piece by piece: both are reported. */
#include "abi.h"

#include <malloc.h>

#define SIZE (8ul << 20)

static void *free_it(void *arg)
{
	free(arg);
	return NULL;
}

/* Above the block that is freed, so that there is no end of the heap to take. */
static char *volatile fence;

static void *trim(void *arg)
{
	malloc_trim(0);
	return arg;
}

static char *middle(char *p)
{
	return (char *)((uintptr_t)(p + SIZE / 2) & -PG);
}

static void by_break(void)
{
	int fd = uffd_open(UFFD_FEATURE_EVENT_UNMAP);
	char *p = malloc(SIZE), *end = sbrk(0);
	struct uffd_msg msg;
	struct thread t;

	CHECK(p < end);
	EQ(reg(fd, middle(p), 4 * PG, MISSING), 0);
	run(&t, free_it, p);
	msg = next_msg(fd);
	EQ(msg.event, UFFD_EVENT_UNMAP);
	CHECK(msg.remove.start <= (uintptr_t)middle(p));
	EQ(msg.remove.end, (uintptr_t)end);
	join(&t);
	EQ((uintptr_t)sbrk(0), msg.remove.start);

	/* The break goes up again, over memory that nobody has registered. */
	p = malloc(SIZE);
	memset(p, 1, SIZE);
	CHECK(all(p, SIZE, 1));
	CHECK(quiet(fd));
	free(p);
	close(fd);
}

static void by_pieces(void)
{
	int fd = uffd_open(UFFD_FEATURE_EVENT_REMOVE);
	char *p = malloc(SIZE);
	struct uffd_msg msg;
	struct thread t;

	fence = malloc(SIZE / 8);
	memset(p, 1, SIZE);
	EQ(reg(fd, middle(p), 4 * PG, MISSING), 0);
	free(p);
	CHECK(quiet(fd));
	run(&t, trim, NULL);
	msg = next_msg(fd);
	EQ(msg.event, UFFD_EVENT_REMOVE);
	EQ(msg.remove.start, (uintptr_t)middle(p));
	EQ(msg.remove.end, (uintptr_t)middle(p) + 4 * PG);
	join(&t);
	reader(&t, middle(p));
	FAULT(fd, middle(p), 0);
	EQ(unreg(fd, middle(p), 4 * PG), 0);
	join(&t);
	EQ(t.byte, 0);
	free(fence);
	close(fd);
}

int main(void)
{
	struct thread t;

	start();
	/* What a thread needs of the heap is there for the next one, below what is to be freed. */
	run(&t, free_it, NULL);
	join(&t);
	mallopt(M_MMAP_THRESHOLD, 64 << 20);
	mallopt(M_TRIM_THRESHOLD, 1 << 20);
	mallopt(M_TOP_PAD, 0);
	mallopt(M_ARENA_MAX, 1);
	by_break();
	by_pieces();
	return 0;
}
