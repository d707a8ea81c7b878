/* SPDX-License-Identifier: MIT */
/* Child after child, each with faults of its own, all served by one thread of the parent. */
#include "procs.h"

#define PAGES	 16
#define CHILDREN 8

static char *p;

static int child_main(int sock, void *arg)
{
	(void)sock;
	for (int i = 0; i < PAGES; i++) {
		int n = (i * 5 + *(int *)arg) % PAGES;
		CHECK(all(p + n * PG, PG, 1 + n));
		p[n * PG] = 90;
	}
	return 0;
}

int main(void)
{
	struct forker f[CHILDREN];
	struct pollfd fds[CHILDREN];
	int numbers[CHILDREN];

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK);
	char *src = map(1);
	p = map(PAGES);
	EQ(reg(fd, p, PAGES * PG, MISSING), 0);
	for (int i = 0; i < CHILDREN; i++) {
		numbers[i] = i;
		fds[i].fd = fork_with_event(fd, &f[i], child_main, &numbers[i]);
		fds[i].events = POLLIN;
	}
	for (int served = 0; served < CHILDREN * PAGES; served++) {
		int i = 0;

		CHECK(poll(fds, CHILDREN, -1) > 0);
		while (!fds[i].revents)
			i++;
		struct uffd_msg msg = next_msg(fds[i].fd);
		EQ(msg.event, UFFD_EVENT_PAGEFAULT);
		char *page = (char *)msg.pagefault.address;
		memset(src, 1 + (page - p) / PG, PG);
		DONE(copy(fds[i].fd, page, src, PG, 0), PG);
	}
	for (int i = 0; i < CHILDREN; i++)
		peer_end(&f[i].peer);
	for (int i = 0; i < PAGES; i++)
		CHECK(!populated(p + i * PG));
	CHECK(quiet(fd));
	return 0;
}
