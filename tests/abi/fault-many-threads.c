/* SPDX-License-Identifier: MIT */
/* Many threads over many pages, each filled once with what belongs there. */
#include "abi.h"

#define THREADS 16
#define PAGES	64

static char *memory;

static void *visit(void *arg)
{
	size_t seed = (uintptr_t)arg;

	for (size_t i = 0; i < PAGES; i++) {
		size_t page = (i * 13 + seed * 7) % PAGES;
		EQ(memory[page * PG + seed], (char)(page + 1));
	}
	return NULL;
}

int main(void)
{
	struct thread t[THREADS];
	bool filled[PAGES] = {false};
	char *src = map(1);
	size_t left = PAGES;

	start();
	int fd = uffd_open(0);
	memory = map(PAGES);
	EQ(reg(fd, memory, PAGES * PG, MISSING), 0);
	for (size_t i = 0; i < THREADS; i++)
		run(&t[i], visit, (void *)i);
	while (left) {
		struct uffd_msg msg = next_msg(fd);
		EQ(msg.event, UFFD_EVENT_PAGEFAULT);
		size_t page = (msg.pagefault.address - (uintptr_t)memory) / PG;
		CHECK(page < PAGES);
		/* A second message for a page that was filled meanwhile is in order. */
		if (filled[page]) {
			EQ(wake(fd, memory + page * PG, PG), 0);
			continue;
		}
		memset(src, page + 1, PG);
		DONE(copy(fd, memory + page * PG, src, PG, 0), PG);
		filled[page] = true;
		left--;
	}
	for (size_t i = 0; i < THREADS; i++)
		join(&t[i]);
	return 0;
}
