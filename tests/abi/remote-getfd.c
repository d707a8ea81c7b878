/* SPDX-License-Identifier: MIT */
/* pidfd_getfd takes a descriptor out of another process; opening it under /proc is not possible. */
#include "procs.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

static int owner_main(int sock, void *arg)
{
	char *p = arg;
	int fd = uffd_open(0);

	EQ(reg(fd, p, PG, MISSING), 0);
	tell(sock, fd);
	hear(sock);
	/* The other has it by now. */
	close(fd);
	EQ(p[0], 5);
	return 0;
}

int main(void)
{
	char path[64];

	start();
	char *p = map(1);
	struct peer owner = peer_start(owner_main, p);
	int number = hear(owner.sock), pidfd = syscall(SYS_pidfd_open, owner.pid, 0);
	snprintf(path, sizeof path, "/proc/%d/fd/%d", owner.pid, number);
	ERR(open(path, O_RDWR | O_CLOEXEC), ENXIO);
	int fd = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		skip_host("pidfd_getfd is refused");
	CHECK(fd >= 0);
	tell(owner.sock, 0);
	FAULT(fd, p, 0);
	DONE(copy(fd, p, page_of(5), PG, 0), PG);
	peer_end(&owner);
	return 0;
}
