/* SPDX-License-Identifier: MIT */
/* The stack of a thread that is gone is unmapped by whoever joins it. */
#include "abi.h"

#define STACK (64ul << 20) /* more than libc keeps for the next thread */

static char *low;
static int fd;

static void *register_own_stack(void *arg)
{
	pthread_attr_t attr;
	size_t size;
	void *at;

	EQ(pthread_getattr_np(pthread_self(), &attr), 0);
	EQ(pthread_attr_getstack(&attr, &at, &size), 0);
	pthread_attr_destroy(&attr);
	/* Away from the guard, and from what the thread uses. */
	low = (char *)at + 16 * PG;
	EQ(reg(fd, low, 4 * PG, MISSING), 0);
	return arg;
}

static void *join_it(void *arg)
{
	EQ(pthread_join(*(pthread_t *)arg, NULL), 0);
	return NULL;
}

int main(void)
{
	pthread_attr_t attr;
	struct uffd_msg msg;
	struct thread t;
	pthread_t id;

	start();
	fd = uffd_open(UFFD_FEATURE_EVENT_UNMAP);
	EQ(pthread_attr_init(&attr), 0);
	EQ(pthread_attr_setstacksize(&attr, STACK), 0);
	EQ(pthread_create(&id, &attr, register_own_stack, NULL), 0);
	run(&t, join_it, &id);
	msg = next_msg(fd);
	EQ(msg.event, UFFD_EVENT_UNMAP);
	CHECK(msg.remove.start <= (uintptr_t)low);
	CHECK(msg.remove.end >= (uintptr_t)low + STACK / 2);
	join(&t);

	/* The next one of that size works. */
	EQ(pthread_create(&id, &attr, register_own_stack, NULL), 0);
	run(&t, join_it, &id);
	EQ(next_msg(fd).event, UFFD_EVENT_UNMAP);
	join(&t);
	CHECK(quiet(fd));
	return 0;
}
