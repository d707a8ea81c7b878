/* SPDX-License-Identifier: MIT */
/* Poisoning a page that a thread waits for gives that thread its SIGBUS. */
#include "abi.h"

static void *touch(void *arg)
{
	siginfo_t info;
	char *p = arg;

	EQ(try_read(p + 3, &info), SIGBUS);
	EQ((uintptr_t)info.si_addr, (uintptr_t)p + 3);
	return NULL;
}

int main(void)
{
	struct thread t;

	start();
	need_features(UFFD_FEATURE_POISON);
	int fd = uffd_open(0);
	char *p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	run(&t, touch, p);
	FAULT(fd, p, 0);
	CHECK(blocked(&t));
	DONE(poison(fd, p, PG, 0), PG);
	join(&t);

	run(&t, touch, p + PG);
	FAULT(fd, p + PG, 0);
	CHECK(blocked(&t));
	DONE(poison(fd, p + PG, PG, UFFDIO_POISON_MODE_DONTWAKE), PG);
	CHECK(blocked(&t));
	EQ(wake(fd, p + PG, PG), 0);
	join(&t);
	CHECK(quiet(fd));
	return 0;
}
