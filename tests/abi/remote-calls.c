/* SPDX-License-Identifier: MIT */
/* Each ioctl from another process acts on the memory that the descriptor was made for. */
#include "procs.h"

static char *p;

static int handler_main(int sock, void *arg)
{
	const uint64_t wp = UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE;
	int fd = recv_fd(sock);

	(void)arg;
	DONE(copy(fd, p, page_of(1), PG, 0), PG);
	FAILS(copy(fd, p, page_of(1), PG, 0), EEXIST);
	DONE(zeropage(fd, p + PG, PG, 0), PG);
	DONE(poison(fd, p + 2 * PG, PG, 0), PG);
	DONE(copy(fd, p + 3 * PG, page_of(2), PG, UFFDIO_COPY_MODE_WP), PG);
	EQ(protect(fd, p, PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	PARTLY(copy(fd, p + 4 * PG, page_of(3), 2 * PG, 0), PG);
	REFUSED(move(fd, p + 5 * PG, page_of(1), PG, 0), EINVAL);
	FAILS(cont(fd, p + 5 * PG, PG, 0), EINVAL);
	FAILS(copy(fd, p + 7 * PG, page_of(1), PG, 0), ENOENT);
	REFUSED(copy(fd, p + 1, page_of(1), PG, 0), EINVAL);
	REFUSED(zeropage(fd, p, 0, 0), EINVAL);
	EQ(protect(fd, p + 7 * PG, PG, 0), ENOENT);
	EQ(reg(fd, p + 7 * PG, PG, MISSING), EINVAL);
	DONE(reg_out(fd, p + 6 * PG, PG, MISSING), 1 << _UFFDIO_WAKE | 1 << _UFFDIO_COPY |
							   1 << _UFFDIO_ZEROPAGE |
							   1 << _UFFDIO_MOVE | 1 << _UFFDIO_POISON);
	tell(sock, 0);
	FAULT(fd, p, wp);
	EQ(wake(fd, p, PG), 0);
	FAULT(fd, p, wp);
	EQ(protect(fd, p, PG, 0), 0);
	FAULT(fd, p + 3 * PG, wp);
	EQ(unreg(fd, p + 3 * PG, PG), 0);
	EQ(wake(fd, p + 3 * PG, PG), 0);
	FAULT(fd, p + 6 * PG, 0);
	DONE(copy(fd, p + 6 * PG, page_of(7), PG, UFFDIO_COPY_MODE_DONTWAKE), PG);
	EQ(wake(fd, p + 6 * PG, PG), 0);
	tell(sock, 0);
	return 0;
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_POISON | UFFD_FEATURE_MOVE);
	p = map(7);
	struct peer handler = peer_start(handler_main, NULL);
	int fd = uffd_open(0);
	EQ(reg(fd, p, 6 * PG, MISSING | WP), 0);
	DONE(copy(fd, p + 5 * PG, page_of(4), PG, 0), PG);
	send_fd(handler.sock, fd);
	hear(handler.sock);
	CHECK(all(p, PG, 1));
	CHECK(all(p + PG, PG, 0));
	EQ(try_read(p + 2 * PG, NULL), SIGBUS);
	CHECK(pagemap(p) & PM_UFFD_WP);
	CHECK(pagemap(p + 3 * PG) & PM_UFFD_WP);
	CHECK(all(p + 4 * PG, PG, 3));
	CHECK(all(p + 5 * PG, PG, 4));
	put(p, 5);
	put(p + 3 * PG, 6);
	EQ(get(p + 6 * PG), 7);
	hear(handler.sock);
	CHECK(!(pagemap(p + 3 * PG) & PM_UFFD_WP));
	EQ(p[3 * PG + 1], 2);
	peer_end(&handler);
	CHECK(quiet(fd));
	return 0;
}
