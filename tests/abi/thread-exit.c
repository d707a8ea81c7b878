/* SPDX-License-Identifier: MIT */
/* Threads come and go: each may fault, be cancelled between faults, and leave nothing behind. */
#include "abi.h"

static char *p;

static void *touch_and_stay(void *arg)
{
	(void)*(volatile char *)p;
	while (pause())
		;
	return arg;
}

static void *touch_and_exit(void *arg)
{
	(void)*(volatile char *)p;
	pthread_exit(arg);
}

int main(void)
{
	pthread_t id;
	void *result;

	start();
	int fd = uffd_open(0);
	p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	for (int i = 0; i < 50; i++) {
		EQ(pthread_create(&id, NULL, i % 2 ? touch_and_stay : touch_and_exit, p), 0);
		FAULT(fd, p, 0);
		/* Deferred: it takes effect when the thread gets to a cancellation point. */
		if (i % 2)
			EQ(pthread_cancel(id), 0);
		DONE(zeropage(fd, p, PG, 0), PG);
		EQ(pthread_join(id, &result), 0);
		CHECK(result == (i % 2 ? PTHREAD_CANCELED : (void *)p));
		EQ(madvise(p, PG, MADV_DONTNEED), 0);
	}
	CHECK(quiet(fd));
	return 0;
}
