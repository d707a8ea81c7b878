/* SPDX-License-Identifier: MIT */
/* readv and writev over present and missing pages. */
#include "abi.h"

#include <sys/uio.h>

struct job {
	int fd;
	struct iovec pieces[3];
};

static void *write_pieces(void *arg)
{
	struct job *job = arg;

	EQ(writev(job->fd, job->pieces, 3), 300);
	return NULL;
}

static void *read_pieces(void *arg)
{
	struct job *job = arg;

	EQ(readv(job->fd, job->pieces, 3), 300);
	return NULL;
}

int main(void)
{
	struct thread t;
	int pipes[2];

	start();
	int fd = uffd_open_full(0);
	char *p = map(3);
	EQ(pipe(pipes), 0);
	memset(p, 1, PG);
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	struct job job = {pipes[1], {{p, 100}, {p + PG, 100}, {p + 2 * PG, 100}}};
	run(&t, write_pieces, &job);
	for (int i = 1; i < 3; i++) {
		FAULT(fd, p + i * PG, 0);
		DONE(copy(fd, p + i * PG, page_of(1 + i), PG, 0), PG);
	}
	join(&t);

	EQ(madvise(p, 2 * PG, MADV_DONTNEED), 0);
	job = (struct job){pipes[0], {{p + 2 * PG, 100}, {p, 100}, {p + PG, 100}}};
	run(&t, read_pieces, &job);
	for (int i = 0; i < 2; i++) {
		FAULT(fd, p + i * PG, UFFD_PAGEFAULT_FLAG_WRITE);
		DONE(zeropage(fd, p + i * PG, PG, 0), PG);
	}
	join(&t);
	CHECK(all(p, 100, 2));
	CHECK(all(p + PG, 100, 3));
	CHECK(all(p + 2 * PG, 100, 1));
	return 0;
}
