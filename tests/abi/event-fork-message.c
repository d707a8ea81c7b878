/* SPDX-License-Identifier: MIT */
/* The event of a fork: its message, the descriptor that comes with it, and what that acts on. */
#include "procs.h"

static char *p;

static int child_main(int sock, void *arg)
{
	(void)arg;
	hear(sock);
	EQ(p[0], 1);
	EQ(p[PG], 2);
	return 0;
}

int main(void)
{
	struct forker f;
	char link[64] = "", path[64];

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK);
	p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	DONE(copy(fd, p, page_of(1), PG, 0), PG);
	int child = fork_with_event(fd, &f, child_main, NULL);
	CHECK(child > 2 && child != fd);
	snprintf(path, sizeof path, "/proc/self/fd/%d", child);
	CHECK(readlink(path, link, sizeof link - 1) > 0);
	EQ(strcmp(link, "anon_inode:[userfaultfd]"), 0);
	CHECK(quiet(fd));
	CHECK(quiet(child));
	/* It has been initialised. */
	EQ(uffd_api(child, 0), EINVAL);
	DONE(copy(child, p + PG, page_of(2), PG, 0), PG);
	FAILS(copy(child, p, page_of(2), PG, 0), EEXIST);
	/* The same page is still missing here. */
	DONE(copy(fd, p + PG, page_of(3), PG, 0), PG);
	EQ(p[PG], 3);
	tell(f.peer.sock, 0);
	peer_end(&f.peer);
	return 0;
}
