/* SPDX-License-Identifier: MIT */
/* Much memory, every third page of it missing: all of it is right on both sides of two forks. */
#include "procs.h"

#define PAGES 12288ul

static char *p;

static int content(size_t i, int side)
{
	return i % 3 == 2 ? 0 : i % 7 == 0 ? side : 1 + (int)(i % 97);
}

static void write_own(int side)
{
	for (size_t i = 0; i < PAGES; i += 7)
		if (i % 3 != 2)
			memset(p + i * PG, side, PG);
}

static void verify(int side)
{
	for (size_t i = 0; i < PAGES; i++) {
		EQ(get(p + i * PG), content(i, side));
		EQ(get(p + i * PG + PG - 1), content(i, side));
	}
}

static int child_main(int sock, void *arg)
{
	int side = *(int *)arg;

	write_own(side);
	tell(sock, 0);
	hear(sock);
	verify(side);
	return 0;
}

int main(void)
{
	struct peer children[2];
	int sides[] = {101, 102};

	start();
	int fd = uffd_open(0);
	char *src = map(1);
	p = map(PAGES);
	EQ(reg(fd, p, PAGES * PG, MISSING), 0);
	for (size_t i = 0; i < PAGES; i++)
		if (i % 3 != 2)
			DONE(copy(fd, p + i * PG, memset(src, 1 + (int)(i % 97), PG), PG, 0), PG);
	for (int i = 0; i < 2; i++) {
		children[i] = peer_start(child_main, &sides[i]);
		hear(children[i].sock);
	}
	write_own(100);
	for (int i = 0; i < 2; i++) {
		tell(children[i].sock, 0);
		peer_end(&children[i]);
	}
	EQ(unreg(fd, p, PAGES * PG), 0);
	verify(100);
	return 0;
}
