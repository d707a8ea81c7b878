/* SPDX-License-Identifier: MIT */
/* Two processes serve the same memory: each message goes to one of them. */
#include "procs.h"

#define PAGES	400
#define THREADS 4

static char *p;
static _Atomic int *served;

static int handler_main(int sock, void *arg)
{
	int n = *(int *)arg, fd = recv_fd(sock);
	char *src = map(1);
	struct pollfd ready[] = {{.fd = fd, .events = POLLIN}, {.fd = sock, .events = POLLIN}};
	struct uffd_msg msg;

	for (;;) {
		CHECK(poll(ready, 2, -1) > 0);
		while (read(fd, &msg, sizeof msg) == sizeof msg) {
			char *page = (char *)msg.pagefault.address;
			memset(src, (page - p) / PG % 100, PG);
			/* Two threads may wait for the same page, so the other may be first. */
			struct outcome got = copy(fd, page, src, PG, 0);
			CHECK(!got.err || got.err == EEXIST);
			if (got.err)
				EQ(wake(fd, page, PG), 0);
			served[n]++;
		}
		EQ(errno, EAGAIN);
		if (ready[1].revents)
			return 0;
	}
}

static void *keep_reading(void *arg)
{
	for (int i = 0; i < PAGES; i++)
		CHECK(all(p + i * PG, PG, i % 100));
	return arg;
}

int main(void)
{
	struct peer handlers[2];
	struct thread t[THREADS];

	start();
	p = map(PAGES);
	served = mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 2; i++)
		handlers[i] = peer_start(handler_main, &i);
	int fd = uffd_open(0);
	EQ(reg(fd, p, PAGES * PG, MISSING), 0);
	for (int i = 0; i < 2; i++)
		send_fd(handlers[i].sock, fd);
	for (int i = 0; i < THREADS; i++)
		run(&t[i], keep_reading, NULL);
	for (int i = 0; i < THREADS; i++)
		join(&t[i]);
	for (int i = 0; i < 2; i++) {
		tell(handlers[i].sock, 0);
		peer_end(&handlers[i]);
	}
	CHECK(served[0] + served[1] >= PAGES);
	CHECK(quiet(fd));
	return 0;
}
