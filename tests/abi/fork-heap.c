/* SPDX-License-Identifier: MIT */
/*
 * libc's heap is registered. A thread in malloc, which holds the heap's lock, waits for a page
 * while another one forks, for which libc takes that lock.
 */
#include "procs.h"

#include <malloc.h>

#define HEAP  (32ul << 20)
#define FORKS 100

static int fd;
static atomic_bool over, nobody; /* nobody is left who could fault */

static void *serve(void *arg)
{
	struct uffd_msg msg;

	(void)arg;
	while (!nobody) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		if (poll(&p, 1, 10) != 1 || read(fd, &msg, sizeof msg) != sizeof msg)
			continue;
		EQ(msg.event, UFFD_EVENT_PAGEFAULT);
		/* EAGAIN: its page table has just been given back, by whoever trims the heap. */
		while (zeropage(fd, (char *)(msg.pagefault.address & ~(PG - 1)), PG, 0).err ==
		       EAGAIN)
			;
	}
	return NULL;
}

/* What is cut from a free piece leaves the head of what remains on a page that is missing. */
static void churn_once(void)
{
	char *big = malloc(64 * PG), *fence = malloc(2 * PG), *part;

	CHECK(big && fence);
	free(big);
	malloc_trim(HEAP);
	part = malloc(20 * PG);
	CHECK(part);
	part[10 * PG] = 1;
	free(part);
	free(fence);
}

static void *churn(void *arg)
{
	(void)arg;
	while (!over)
		churn_once();
	return NULL;
}

int main(void)
{
	struct thread server, churner[2];

	start();
	/* With MALLOC_PERTURB_ malloc writes to pages that nobody serves any more. */
	mallopt(M_PERTURB, 0);
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 16 << 20);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	mallopt(M_TOP_PAD, HEAP);
	char *volatile first = malloc(2 << 20);
	free(first);
	fd = uffd_open_full(0);
	char *top = (char *)((uintptr_t)sbrk(0) & ~(PG - 1));
	EQ(reg(fd, top - HEAP, HEAP, MISSING), 0);
	run(&server, serve, NULL);
	for (int i = 0; i < 2; i++)
		run(&churner[i], churn, NULL);
	for (int i = 0; i < FORKS; i++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (!pid) {
			churn_once();
			_exit(9);
		}
		EQ(ends(pid), 9);
	}
	over = true;
	for (int i = 0; i < 2; i++)
		join(&churner[i]);
	nobody = true;
	join(&server);
	return 0;
}
