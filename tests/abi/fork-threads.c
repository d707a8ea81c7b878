/* SPDX-License-Identifier: MIT */
/* Several threads fork at the same time, and each child has what its thread wrote last. */
#include "procs.h"

#define THREADS 4
#define ROUNDS	15

static char *p;

static int child_main(int sock, void *arg)
{
	volatile char *mine = arg;
	char byte = mine[0];

	(void)sock;
	CHECK(all((char *)mine, PG, byte));
	memset((char *)mine, 99, PG);
	return byte;
}

static void *keep_forking(void *arg)
{
	for (int i = 1; i <= ROUNDS; i++) {
		memset(arg, i, PG);
		struct peer child = peer_start(child_main, arg);
		EQ(ends(child.pid), i);
		close(child.sock);
	}
	return NULL;
}

int main(void)
{
	struct thread t[THREADS];

	start();
	int fd = uffd_open(0);
	p = map(THREADS);
	EQ(reg(fd, p, THREADS * PG, MISSING), 0);
	DONE(zeropage(fd, p, THREADS * PG, 0), THREADS * PG);
	for (int i = 0; i < THREADS; i++)
		run(&t[i], keep_forking, p + i * PG);
	for (int i = 0; i < THREADS; i++)
		join(&t[i]);
	CHECK(all(p, THREADS * PG, ROUNDS));
	CHECK(quiet(fd));
	return 0;
}
