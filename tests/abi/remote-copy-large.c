/* SPDX-License-Identifier: MIT */
/* One COPY of many pages from another process, whole and cut short by a page that is there. */
#include "procs.h"

#define PAGES 4096ul

static int handler_main(int sock, void *arg)
{
	char *p = arg;
	int fd = recv_fd(sock);
	char *src = map(PAGES);

	for (size_t i = 0; i < PAGES; i++)
		memset(src + i * PG, i % 251, PG);
	DONE(copy(fd, p, src, PAGES * PG, 0), PAGES * PG);
	/* Page 3000 of the second half is there. */
	PARTLY(copy(fd, p + PAGES * PG, src, PAGES * PG, 0), 3000 * PG);
	FAILS(copy(fd, p + (PAGES + 3000) * PG, src, PG, 0), EEXIST);
	DONE(zeropage(fd, p + (PAGES + 3001) * PG, (PAGES - 3001) * PG, 0), (PAGES - 3001) * PG);
	return 0;
}

int main(void)
{
	start();
	char *p = map(2 * PAGES);
	struct peer handler = peer_start(handler_main, p);
	int fd = uffd_open(0);
	EQ(reg(fd, p, 2 * PAGES * PG, MISSING), 0);
	DONE(copy(fd, p + (PAGES + 3000) * PG, page_of(255), PG, 0), PG);
	send_fd(handler.sock, fd);
	peer_end(&handler);
	for (size_t i = 0; i < PAGES; i++) {
		int second = i < 3000 ? (int)(i % 251) : i == 3000 ? 255 : 0;
		CHECK(all(p + i * PG, PG, i % 251));
		CHECK(all(p + (PAGES + i) * PG, PG, second));
	}
	CHECK(quiet(fd));
	return 0;
}
