/* SPDX-License-Identifier: MIT */
/* Many threads fault at once, and another process with several threads serves them. */
#include "procs.h"

#define THREADS 8
#define SERVERS 3
#define EACH	200

static char *p;

static void *serve(void *arg)
{
	int fd = *(int *)arg;
	char *src = map(1);
	struct uffd_msg msg;

	/* Blocking reads; a message of length 0 ends each. */
	while (read(fd, &msg, sizeof msg) == sizeof msg) {
		char *page = (char *)msg.pagefault.address;
		size_t n = (page - p) / PG;
		memset(src, n % 120 + 1, PG);
		DONE(copy(fd, page, src, PG, 0), PG);
	}
	return NULL;
}

static int handler_main(int sock, void *arg)
{
	int fd = recv_fd(sock);
	struct thread t[SERVERS];

	(void)arg;
	for (int i = 0; i < SERVERS; i++)
		run(&t[i], serve, &fd);
	hear(sock);
	_exit(0);
}

static void *touch(void *arg)
{
	size_t mine = (size_t)arg;

	for (size_t i = 0; i < EACH; i++) {
		size_t n = i * THREADS + mine;
		if (i % 2)
			p[n * PG + 1] = p[n * PG];
		else
			p[n * PG + 1] = n % 120 + 1;
		CHECK(all(p + n * PG, PG, n % 120 + 1));
	}
	return NULL;
}

int main(void)
{
	struct thread t[THREADS];

	start();
	p = map(THREADS * EACH);
	struct peer handler = peer_start(handler_main, NULL);
	int fd = uffd_new(O_CLOEXEC);
	EQ(uffd_api(fd, 0), 0);
	EQ(reg(fd, p, THREADS * EACH * PG, MISSING), 0);
	send_fd(handler.sock, fd);
	for (size_t i = 0; i < THREADS; i++)
		run(&t[i], touch, (void *)i);
	for (int i = 0; i < THREADS; i++)
		join(&t[i]);
	tell(handler.sock, 0);
	peer_end(&handler);
	return 0;
}
