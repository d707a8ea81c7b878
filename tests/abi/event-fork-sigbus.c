/* SPDX-License-Identifier: MIT */
/* The SIGBUS mode is inherited with the registration. */
#include "procs.h"

static char *p;

static int child_main(int sock, void *arg)
{
	siginfo_t info;

	(void)arg;
	EQ(try_read(p + 3, &info), SIGBUS);
	EQ(info.si_code, BUS_ADRERR);
	CHECK(info.si_addr == p + 3);
	tell(sock, 0);
	hear(sock);
	EQ(p[3], 1);
	return 0;
}

int main(void)
{
	struct forker f;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_SIGBUS);
	p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	int child = fork_with_event(fd, &f, child_main, NULL);
	hear(f.peer.sock);
	CHECK(quiet(child));
	DONE(copy(child, p, page_of(1), PG, 0), PG);
	tell(f.peer.sock, 0);
	peer_end(&f.peer);
	EQ(try_read(p, NULL), SIGBUS);
	return 0;
}
