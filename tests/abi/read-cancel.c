/* SPDX-License-Identifier: MIT */
/* A thread blocked in read can be cancelled, and the descriptor still serves others. */
#include "abi.h"

static void *read_forever(void *arg)
{
	struct uffd_msg msg;

	(void)!read(*(int *)arg, &msg, sizeof msg);
	return NULL;
}

int main(void)
{
	struct thread waiter, t;
	void *result;

	start();
	int fd = uffd_new(O_CLOEXEC);
	EQ(uffd_api(fd, 0), 0);
	char *p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	run(&waiter, read_forever, &fd);
	CHECK(blocked(&waiter));
	EQ(pthread_cancel(waiter.id), 0);
	EQ(pthread_join(waiter.id, &result), 0);
	EQ((intptr_t)result, (intptr_t)PTHREAD_CANCELED);

	EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	reader(&t, p);
	FAULT(fd, p, 0);
	DONE(zeropage(fd, p, PG, 0), PG);
	join(&t);
	return 0;
}
