/* SPDX-License-Identifier: MIT */
/* Many children alive at once, each with the contents of its own moment. */
#include "procs.h"

#define CHILDREN 24
#define PAGES	 6

static char *p;

static int child_main(int sock, void *arg)
{
	int n = *(int *)arg;

	hear(sock);
	/* Page i was last written in the round before this fork whose number is i modulo PAGES. */
	for (int i = 0; i < PAGES; i++) {
		int last = n - ((n - i) % PAGES + PAGES) % PAGES;
		CHECK(all(p + i * PG, PG, last < 0 ? 100 : last));
	}
	p[n % PAGES * PG] = 99;
	return 0;
}

int main(void)
{
	struct peer children[CHILDREN];

	start();
	int fd = uffd_open(0);
	p = map(PAGES);
	EQ(reg(fd, p, PAGES * PG, MISSING), 0);
	for (int i = 0; i < PAGES; i++)
		DONE(copy(fd, p + i * PG, page_of(100), PG, 0), PG);
	for (int n = 0; n < CHILDREN; n++) {
		memset(p + n % PAGES * PG, n, PG);
		children[n] = peer_start(child_main, &n);
	}
	/* In an order that is neither that of the forks nor its reverse. */
	for (int i = 0; i < CHILDREN; i++) {
		struct peer *child = &children[i * 7 % CHILDREN];
		tell(child->sock, 0);
		peer_end(child);
	}
	for (int i = 0; i < PAGES; i++)
		CHECK(all(p + i * PG, PG, CHILDREN - PAGES + i));
	CHECK(quiet(fd));
	return 0;
}
