/* SPDX-License-Identifier: MIT */
/* A process may end while threads wait for pages, for messages and for events. */
#include "abi.h"

static void *read_msgs(void *arg)
{
	struct uffd_msg msg;

	EQ(read(*(int *)arg, &msg, sizeof msg), sizeof msg);
	return NULL;
}

int main(void)
{
	struct thread t[3], idle;
	struct call c;

	start();
	int fd = uffd_open(UFFD_FEATURE_EVENT_UNMAP), silent = uffd_new(O_CLOEXEC);
	EQ(uffd_api(silent, 0), 0);
	char *p = map(4);
	EQ(reg(fd, p, 4 * PG, MISSING), 0);
	reader(&t[0], p);
	FAULT(fd, p, 0);
	writer(&t[1], p + PG, 1);
	reader(&t[2], p + PG);
	for (int i = 0; i < 3; i++)
		CHECK(blocked(&t[i]));
	run(&idle, read_msgs, &silent);
	CHECK(blocked(&idle));
	call_munmap(&c, p + 3 * PG, PG);
	/* Faults are read first: the two unread ones, and then it must be the event's turn. */
	next_msg(fd);
	next_msg(fd);
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	EQ(poll(&ready, 1, -1), 1);
	return 0;
}
