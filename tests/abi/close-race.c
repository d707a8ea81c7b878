/* SPDX-License-Identifier: MIT */
/* Descriptors closed while threads fault and are being served: all get through. */
#include "abi.h"

#define THREADS 4
#define PAGES	16

static char *p;

static void *touch_all(void *arg)
{
	size_t seed = (uintptr_t)arg;

	for (size_t i = 0; i < PAGES; i++) {
		char byte = *(volatile char *)(p + (i * 5 + seed) % PAGES * PG);
		CHECK(byte == 0 || byte == 1);
	}
	return NULL;
}

int main(void)
{
	struct thread t[THREADS];
	char *src = page_of(1);

	start();
	p = map(PAGES);
	for (int round = 0; round < 60; round++) {
		int fd = uffd_open(0);
		EQ(reg(fd, p, PAGES * PG, MISSING), 0);
		for (size_t i = 0; i < THREADS; i++)
			run(&t[i], touch_all, (void *)i);
		for (int i = 0; i < round % 10; i++) {
			struct uffd_msg msg = next_msg(fd);
			struct outcome got = copy(fd, (char *)msg.pagefault.address, src, PG, 0);
			if (got.err == EEXIST)
				EQ(wake(fd, (char *)msg.pagefault.address, PG), 0);
			else
				EQ(got.err, 0);
		}
		close(fd);
		for (size_t i = 0; i < THREADS; i++)
			join(&t[i]);
		EQ(madvise(p, PAGES * PG, MADV_DONTNEED), 0);
	}
	return 0;
}
