/* SPDX-License-Identifier: MIT */
/* Tracking writes without messages goes on across forks: what is written is found, and no more. */
#include "procs.h"

#define PAGES 6

static char *p;

static int written(void)
{
	struct scan_region found[PAGES];
	struct scan_arg arg = {
		.start = (uintptr_t)p,
		.end = (uintptr_t)p + PAGES * PG,
		.vec = (uintptr_t)found,
		.vec_len = PAGES,
		.category_mask = CAT_WRITTEN,
		.return_mask = CAT_WRITTEN,
	};
	int bits = 0;
	long n = scan(&arg);

	CHECK(n >= 0);
	for (long i = 0; i < n; i++)
		for (uint64_t a = found[i].start; a < found[i].end; a += PG)
			bits |= 1 << (a - (uintptr_t)p) / PG;
	return bits;
}

static int child_main(int sock, void *arg)
{
	(void)arg;
	put(p + 5 * PG, 9);
	put(p, 9);
	tell(sock, 0);
	hear(sock);
	EQ(p[0], 9);
	EQ(p[PG], 1);
	EQ(p[2 * PG], 1);
	return 0;
}

int main(void)
{
	start();
	int fd = uffd_open(UFFD_FEATURE_WP_ASYNC);
	p = map(PAGES);
	memset(p, 1, PAGES * PG);
	EQ(reg(fd, p, PAGES * PG, WP), 0);
	EQ(protect(fd, p, PAGES * PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	put(p + PG, 1);
	EQ(written(), 1 << 1);
	struct peer child = peer_start(child_main, NULL);
	hear(child.sock);
	EQ(written(), 1 << 1);
	put(p + PG, 2);
	put(p + 2 * PG, 2);
	EQ(written(), 1 << 1 | 1 << 2);
	tell(child.sock, 0);
	peer_end(&child);
	EQ(written(), 1 << 1 | 1 << 2);
	put(p + 4 * PG, 2);
	EQ(written(), 1 << 1 | 1 << 2 | 1 << 4);
	EQ(p[0], 1);
	EQ(p[5 * PG], 1);
	return 0;
}
