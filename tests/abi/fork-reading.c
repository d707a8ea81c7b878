/* SPDX-License-Identifier: MIT */
/* Forks while a thread sleeps in read(): it gets the next message, and the child is not kept. */
#include "procs.h"

static int fd;

static void *read_one(void *arg)
{
	struct uffd_msg *msg = arg;

	EQ(read(fd, msg, sizeof *msg), sizeof *msg);
	return NULL;
}

int main(void)
{
	struct uffd_msg msg;
	struct thread t, reads;

	start();
	fd = uffd_new(O_CLOEXEC);
	EQ(uffd_api(fd, 0), 0);
	char *p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	run(&reads, read_one, &msg);
	CHECK(blocked(&reads));
	for (int i = 0; i < 5; i++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (!pid)
			_exit(get(p) ? 1 : 2);
		EQ(ends(pid), 2);
	}
	CHECK(blocked(&reads));
	reader(&t, p);
	join(&reads);
	fault_at(__FILE__, __LINE__, msg, p, 0);
	DONE(copy(fd, p, page_of(3), PG, 0), PG);
	join(&t);
	EQ(t.byte, 3);
	return 0;
}
