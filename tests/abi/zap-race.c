/* SPDX-License-Identifier: MIT */
/* Pages dropped while other threads fault and fill: every read sees a whole page. */
#include "abi.h"

#define PAGES	8
#define FAULTS	3000
#define READERS 2

static char *p;
static atomic_bool stop;

static void *read_pages(void *arg)
{
	size_t seed = (uintptr_t)arg;

	for (size_t i = 0; !stop; i++) {
		volatile char *page = p + (i * 3 + seed) % PAGES * PG;
		EQ(page[i % PG], 0x77);
		/* On a single CPU the others need their turn. */
		if (i % PAGES == 0)
			sched_yield();
	}
	return NULL;
}

static void *drop_pages(void *arg)
{
	(void)arg;
	for (size_t i = 0; !stop; i++) {
		EQ(madvise(p + i % (PAGES - 1) * PG, (1 + i % 2) * PG, MADV_DONTNEED), 0);
		sched_yield();
	}
	return NULL;
}

int main(void)
{
	struct thread t[READERS], dropper;
	char *src = page_of(0x77);
	int served = 0;

	start();
	int fd = uffd_open(0);
	p = map(PAGES);
	EQ(reg(fd, p, PAGES * PG, MISSING), 0);
	for (size_t i = 0; i < READERS; i++)
		run(&t[i], read_pages, (void *)i);
	run(&dropper, drop_pages, NULL);
	while (served < FAULTS) {
		struct uffd_msg msg = next_msg(fd);
		char *page = (char *)msg.pagefault.address;
		struct outcome got = copy(fd, page, src, PG, 0);
		if (got.err == EEXIST)
			EQ(wake(fd, page, PG), 0);
		else
			EQ(got.err, 0);
		served++;
	}
	stop = true;
	join(&dropper);
	/* Who still waits is let go by COPY, page by page. */
	for (int i = 0; i < PAGES; i++)
		if (copy(fd, p + i * PG, src, PG, 0).err == EEXIST)
			EQ(wake(fd, p + i * PG, PG), 0);
	for (size_t i = 0; i < READERS; i++)
		join(&t[i]);
	return 0;
}
