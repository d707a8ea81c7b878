/* SPDX-License-Identifier: MIT */
/* Two threads that read messages share the work; each message goes to one of them. */
#include "abi.h"

#define PAGES 100

static int fd;
static char *p, *src;
static atomic_int served;

static void *serve(void *arg)
{
	(void)arg;
	while (served < PAGES) {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		struct uffd_msg msg;

		if (poll(&ready, 1, 20) != 1 || read(fd, &msg, sizeof msg) < 0)
			continue;
		DONE(copy(fd, (char *)msg.pagefault.address, src, PG, 0), PG);
		served++;
	}
	return NULL;
}

int main(void)
{
	struct thread servers[2];

	start();
	fd = uffd_open(0);
	p = map(PAGES);
	src = page_of(0x3c);
	EQ(reg(fd, p, PAGES * PG, MISSING), 0);
	for (int i = 0; i < 2; i++)
		run(&servers[i], serve, NULL);
	CHECK(all(p, PAGES * PG, 0x3c));
	for (int i = 0; i < 2; i++)
		join(&servers[i]);
	EQ(served, PAGES);
	CHECK(quiet(fd));
	return 0;
}
