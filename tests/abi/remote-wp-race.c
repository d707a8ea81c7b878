/* SPDX-License-Identifier: MIT */
/*
 * Another process write-protects pages that their owner writes to without a pause: once the call
 * has returned, no write passes until the protection is lifted.
 */
#include "procs.h"

#define ROUNDS 60

static _Atomic uint64_t *published;

static int handler_main(int sock, void *arg)
{
	struct memory *m = arg;
	int fd = recv_fd(sock);

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t before = *published;
		while (*published == before)
			sched_yield();
		EQ(protect(fd, m->p, m->len, UFFDIO_WRITEPROTECT_MODE_WP), 0);
		uint64_t then = *published;
		uint64_t stored = m->view ? *(volatile uint64_t *)m->view : 0;
		FAULT(fd, m->p, UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE);
		/* At most what had been stored by then and was still to be published. */
		CHECK(*published <= then + 1);
		if (m->view)
			EQ(*(volatile uint64_t *)m->view, stored);
		EQ(protect(fd, m->p, m->len, 0), 0);
	}
	published[1] = 1;
	return 0;
}

static void check(struct memory *m)
{
	struct peer handler;
	int fd = uffd_open(0);
	uint64_t n = 0;

	published = mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(published != MAP_FAILED);
	handler = peer_start(handler_main, m);
	REGISTERS(fd, m, WP);
	memset(m->p, 0, m->len);
	send_fd(handler.sock, fd);
	while (!published[1]) {
		*(volatile uint64_t *)m->p = ++n;
		*published = n;
		if (n % 8 == 0)
			sched_yield();
	}
	EQ(*(volatile uint64_t *)m->p, n);
	peer_end(&handler);
	close(fd);
	munmap((void *)published, PG);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(ANON | MEMFD | HUGE_MEMFD, 1, check);
}
