/* SPDX-License-Identifier: MIT */
/* read on a blocking descriptor sleeps until there is a fault. */
#include "abi.h"

static void *read_msg(void *arg)
{
	struct uffd_msg *msg = arg;
	int fd = msg->reserved3;

	EQ(read(fd, msg, sizeof *msg), sizeof *msg);
	return NULL;
}

int main(void)
{
	struct thread waiter, t;

	start();
	int fd = uffd_new(O_CLOEXEC);
	EQ(uffd_api(fd, 0), 0);
	char *p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	struct uffd_msg msg = {.reserved3 = fd};
	run(&waiter, read_msg, &msg);
	CHECK(blocked(&waiter));
	reader(&t, p);
	join(&waiter);
	fault_at(__FILE__, __LINE__, msg, p, 0);
	DONE(copy(fd, p, page_of(2), PG, 0), PG);
	join(&t);
	EQ(t.byte, 2);
	return 0;
}
