/* SPDX-License-Identifier: MIT */
/* A process that is stopped has its memory filled and protected by another all the same. */
#include "procs.h"

static int owner_main(int sock, void *arg)
{
	struct memory *m = arg;
	int fd = uffd_open(0);

	REGISTERS(fd, m, MISSING | WP);
	send_fd(sock, fd);
	raise(SIGSTOP);
	CHECK(all(m->p, m->unit, 1));
	CHECK(pagemap(m->p + m->unit) & PM_UFFD_WP);
	return 0;
}

static void check(struct memory *m)
{
	struct peer owner = peer_start(owner_main, m);
	size_t u = m->unit;
	int fd = recv_fd(owner.sock), status;

	EQ(waitpid(owner.pid, &status, WUNTRACED), owner.pid);
	CHECK(WIFSTOPPED(status));
	DONE(copy(fd, m->p, source(m, 1, 1), u, 0), u);
	DONE(copy(fd, m->p + u, source(m, 1, 2), u, UFFDIO_COPY_MODE_WP), u);
	FAILS(copy(fd, m->p, source(m, 1, 1), u, 0), EEXIST);
	EQ(kill(owner.pid, SIGCONT), 0);
	peer_end(&owner);
	close(fd);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
	return each(ANON | MEMFD | HUGE_MEMFD, 2, check);
}
