/* SPDX-License-Identifier: MIT */
/* Pages that were asked out of memory come back on both sides of a fork. */
#include "procs.h"

#define PAGES 64

static char *p;

static int child_main(int sock, void *arg)
{
	(void)arg;
	for (int i = 0; i < PAGES; i += 2)
		CHECK(all(p + i * PG, PG, i));
	tell(sock, 0);
	hear(sock);
	for (int i = 1; i < PAGES; i += 2)
		CHECK(all(p + i * PG, PG, i));
	EQ(madvise(p, PAGES * PG, MADV_PAGEOUT), 0);
	for (int i = 0; i < PAGES; i++)
		CHECK(all(p + i * PG, PG, i));
	return 0;
}

int main(void)
{
	start();
	int fd = uffd_open(0);
	p = map(PAGES);
	EQ(reg(fd, p, PAGES * PG, MISSING), 0);
	char *src = map(1);
	for (int i = 0; i < PAGES; i++)
		DONE(copy(fd, p + i * PG, memset(src, i, PG), PG, 0), PG);
	EQ(madvise(p, PAGES * PG, MADV_PAGEOUT), 0);
	struct peer child = peer_start(child_main, NULL);
	hear(child.sock);
	for (int i = 0; i < PAGES; i += 3) {
		CHECK(all(p + i * PG, PG, i));
		memset(p + i * PG, 200, PG);
	}
	EQ(madvise(p, PAGES * PG, MADV_PAGEOUT), 0);
	tell(child.sock, 0);
	peer_end(&child);
	for (int i = 0; i < PAGES; i++)
		CHECK(all(p + i * PG, PG, i % 3 ? i : 200));
	CHECK(quiet(fd));
	return 0;
}
