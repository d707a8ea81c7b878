/* SPDX-License-Identifier: MIT */
/* System calls on pages that another thread protects all the time: all data arrives, once. */
#include "served.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define ROUNDS 3000
#define PAGES  40

static atomic_int working;

struct worker {
	struct thread thread;
	char *area;
	unsigned seed;
};

static unsigned number(struct worker *w, unsigned below)
{
	w->seed = w->seed * 1103515245 + 12345;
	return (w->seed >> 8) % below;
}

/* Some bytes of the area. */
static char *piece(struct worker *w, size_t len)
{
	return w->area + number(w, PAGES * PG - len);
}

static void through(int in, int out, struct worker *w, size_t len, int byte)
{
	char *from = piece(w, len), *to;
	size_t got = 0;

	memset(from, byte, len);
	EQ(write(in, from, len), len);
	to = piece(w, len);
	while (got < len) {
		ssize_t n = read(out, to + got, len - got);
		CHECK(n > 0);
		got += n;
	}
	CHECK(all(to, len, byte));
}

static void *work(void *arg)
{
	struct worker *w = arg;
	int file = memfd_create("abi", MFD_CLOEXEC), pipes[2], pair[2];

	EQ(pipe(pipes), 0);
	EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	for (int i = 0; i < ROUNDS; i++) {
		size_t len = 1 + number(w, 8 * PG);
		char *a, *b;

		switch (number(w, 5)) {
		case 0:
			memset(a = piece(w, len), i, len);
			EQ(pwrite(file, a, len, 0), len);
			EQ(pread(file, b = piece(w, len), len, 0), len);
			CHECK(all(b, len, i));
			break;
		case 1:
			through(pipes[1], pipes[0], w, len, i);
			break;
		case 2:
			through(pair[0], pair[1], w, len, i);
			break;
		case 3:
			memset(a = w->area, i, len / 2);
			b = w->area + PAGES * PG / 2;
			struct iovec from = {a, len / 2}, to = {b, len / 2};
			EQ(process_vm_readv(getpid(), &to, 1, &from, 1, 0), len / 2);
			CHECK(all(b, len / 2, i));
			break;
		case 4:
			EQ(fstat(file,
				 (struct stat *)(w->area + number(w, PAGES - 1) * PG + PG - 64)),
			   0);
			break;
		}
	}
	working--;
	return NULL;
}

int main(void)
{
	struct worker w[2];
	unsigned at = 1;

	serve();
	working = 2;
	for (int i = 0; i < 2; i++) {
		w[i].area = lend(NULL, PAGES * PG);
		w[i].seed = i + 1;
		run(&w[i].thread, work, &w[i]);
	}
	while (working) {
		at = at * 1103515245 + 12345;
		guard_again(w[at >> 31].area + (at >> 8) % (PAGES - 4) * PG, 4 * PG);
		sched_yield();
	}
	for (int i = 0; i < 2; i++)
		join(&w[i].thread);
	return 0;
}
