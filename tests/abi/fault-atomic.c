/* SPDX-License-Identifier: MIT */
/* Atomic and string instructions fault as writes and are not executed twice. */
#include "abi.h"

#define PAGES 8

static char *memory;

static void *count(void *arg)
{
	(void)arg;
	for (int i = 0; i < PAGES; i++)
		atomic_fetch_add((atomic_int *)(memory + i * PG), 5);
	return NULL;
}

static void *fill(void *arg)
{
	(void)arg;
	memset(memory, 0x5c, PAGES * PG);
	return NULL;
}

int main(void)
{
	struct thread t[2];

	start();
	int fd = uffd_open(0);
	memory = map(PAGES);
	EQ(reg(fd, memory, PAGES * PG, MISSING), 0);
	for (int i = 0; i < 2; i++)
		run(&t[i], count, NULL);
	for (int i = 0; i < PAGES; i++) {
		struct uffd_msg msg;
		do
			msg = next_msg(fd);
		while (msg.pagefault.address != (uintptr_t)(memory + i * PG));
		EQ(msg.pagefault.flags, UFFD_PAGEFAULT_FLAG_WRITE);
		DONE(zeropage(fd, memory + i * PG, PG, 0), PG);
	}
	join(&t[0]);
	join(&t[1]);
	for (int i = 0; i < PAGES; i++)
		EQ(*(int *)(memory + i * PG), 10);

	EQ(madvise(memory, PAGES * PG, MADV_DONTNEED), 0);
	EQ(unreg(fd, memory, PAGES * PG), 0);
	EQ(reg(fd, memory, PAGES * PG, MISSING), 0);
	run(&t[0], fill, NULL);
	for (int i = 0; i < PAGES; i++) {
		FAULT(fd, memory + i * PG, UFFD_PAGEFAULT_FLAG_WRITE);
		DONE(copy(fd, memory + i * PG, page_of(1), PG, 0), PG);
	}
	join(&t[0]);
	CHECK(all(memory, PAGES * PG, 0x5c));
	return 0;
}
