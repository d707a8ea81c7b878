/* SPDX-License-Identifier: MIT */
/* Each ioctl on the child's descriptor works on the child's memory. */
#include "procs.h"

static char *p;

static int child_main(int sock, void *arg)
{
	(void)arg;
	hear(sock);
	CHECK(all(p, PG, 1));
	CHECK(all(p + PG, PG, 0));
	EQ(try_read(p + 2 * PG, NULL), SIGBUS);
	p[3 * PG] = 3;
	tell(sock, 0);
	/* Unregistered by now: a hole. */
	hear(sock);
	EQ(p[4 * PG], 0);
	EQ(p[5 * PG], 0);
	/* Registered by the parent, in the child. */
	EQ(p[6 * PG], 6);
	return 0;
}

int main(void)
{
	struct forker f;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_MOVE | UFFD_FEATURE_POISON);
	p = map(7);
	EQ(reg(fd, p, 6 * PG, MISSING | WP), 0);
	int child = fork_with_event(fd, &f, child_main, NULL);
	DONE(copy(child, p, page_of(1), PG, 0), PG);
	DONE(zeropage(child, p + PG, PG, 0), PG);
	DONE(poison(child, p + 2 * PG, PG, 0), PG);
	DONE(copy(child, p + 3 * PG, page_of(2), PG, UFFDIO_COPY_MODE_WP), PG);
	/* MOVE is for one's own memory. */
	REFUSED(move(child, p + 4 * PG, page_of(1), PG, 0), EINVAL);
	FAILS(cont(child, p + 4 * PG, PG, 0), EINVAL);
	tell(f.peer.sock, 0);
	FAULT(child, p + 3 * PG, UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE);
	EQ(wake(child, p + 3 * PG, PG), 0);
	FAULT(child, p + 3 * PG, UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE);
	EQ(protect(child, p + 3 * PG, PG, UFFDIO_WRITEPROTECT_MODE_DONTWAKE), 0);
	EQ(wake(child, p + 3 * PG, PG), 0);
	hear(f.peer.sock);
	EQ(unreg(child, p + 4 * PG, 2 * PG), 0);
	FAILS(copy(child, p + 4 * PG, page_of(1), PG, 0), ENOENT);
	EQ(reg(child, p + 6 * PG, PG, MISSING), 0);
	tell(f.peer.sock, 0);
	FAULT(child, p + 6 * PG, 0);
	DONE(copy(child, p + 6 * PG, page_of(6), PG, 0), PG);
	peer_end(&f.peer);
	/* Nothing of it happened here. */
	for (int i = 0; i < 6; i++)
		CHECK(!populated(p + i * PG));
	CHECK(!(pagemap(p + 2 * PG) & PM_SWAP));
	FAILS(copy(fd, p + 6 * PG, page_of(1), PG, 0), ENOENT);
	DONE(copy(fd, p, page_of(8), 1 * PG, 0), PG);
	EQ(p[0], 8);
	CHECK(quiet(fd));
	return 0;
}
