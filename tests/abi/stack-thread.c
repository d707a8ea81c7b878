/* SPDX-License-Identifier: MIT */
/* A thread whose own stack is registered: it faults on the pages below as it goes deeper. */
#include "abi.h"

#define PAGES	 48
#define RESIDENT 8

static int __attribute__((noinline)) deeper(volatile char *above, int levels)
{
	volatile char here[PG];

	for (size_t i = 0; i < PG; i += 512)
		here[i] = above[0] + 1;
	int below = levels ? deeper(here, levels - 1) : 0;
	for (size_t i = 0; i < PG; i += 512)
		EQ(here[i], (char)(above[0] + 1));
	return below + 1;
}

static void *dig(void *arg)
{
	volatile char top = 0;

	*(int *)arg = deeper(&top, 25);
	return arg;
}

int main(void)
{
	pthread_attr_t attr;
	pthread_t id;
	int result = 0;

	start();
	int fd = uffd_open(0);
	char *stack = map(PAGES), *src = map(1);
	/* The top is where the thread begins and its descriptor lives. */
	memset(stack + (PAGES - RESIDENT) * PG, 0, RESIDENT * PG);
	EQ(reg(fd, stack, PAGES * PG, MISSING), 0);
	EQ(pthread_attr_init(&attr), 0);
	EQ(pthread_attr_setstack(&attr, stack, PAGES * PG), 0);
	EQ(pthread_create(&id, &attr, dig, &result), 0);
	uintptr_t last = (uintptr_t)stack + (PAGES - RESIDENT) * PG;
	for (int i = 0; i < 16; i++) {
		struct uffd_msg msg = next_msg(fd);
		EQ(msg.event, UFFD_EVENT_PAGEFAULT);
		CHECK(msg.pagefault.address >= (uintptr_t)stack);
		CHECK(msg.pagefault.address < last);
		DONE(copy(fd, (char *)msg.pagefault.address, src, PG, 0), PG);
	}
	/* How many more it needs is the compiler's affair. */
	void *ended = NULL;
	while (pthread_tryjoin_np(id, &ended) == EBUSY) {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		struct uffd_msg msg;
		if (poll(&ready, 1, 1) == 1 && read(fd, &msg, sizeof msg) == sizeof msg)
			DONE(copy(fd, (char *)msg.pagefault.address, src, PG, 0), PG);
	}
	CHECK(ended == &result);
	EQ(result, 26);
	CHECK(quiet(fd));
	return 0;
}
