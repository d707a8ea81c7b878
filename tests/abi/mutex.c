/* SPDX-License-Identifier: MIT */
/* Mutexes and counters live in registered memory, which is write-protected again and again. */
#include "abi.h"

#define THREADS 4
#define ROUNDS	2000

struct shared {
	pthread_mutex_t mutex;
	int count;
};

static void *count_up(void *arg)
{
	struct shared *shared = arg;

	for (int i = 0; i < ROUNDS; i++) {
		EQ(pthread_mutex_lock(&shared->mutex), 0);
		shared->count++;
		EQ(pthread_mutex_unlock(&shared->mutex), 0);
	}
	return NULL;
}

static bool all_done(struct thread *t)
{
	for (int i = 0; i < THREADS; i++)
		if (!t[i].done)
			return false;
	return true;
}

int main(void)
{
	pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
	struct thread t[THREADS];
	char *src = map(1);

	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	/* Futex calls read the mutex in the kernel, but never write it. */
	int fd = uffd_open(0);
	char *p = map(1);
	EQ(reg(fd, p, PG, MISSING | WP), 0);
	for (int i = 0; i < THREADS; i++)
		run(&t[i], count_up, p);
	struct uffd_msg msg = next_msg(fd);
	EQ(msg.pagefault.address, (uintptr_t)p);
	memcpy(src, &fresh, sizeof fresh);
	DONE(copy(fd, p, src, PG, UFFDIO_COPY_MODE_WP), PG);
	for (int round = 0; !all_done(t); round++) {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		while (poll(&ready, 1, 1) == 1) {
			if (read(fd, &msg, sizeof msg) < 0)
				continue;
			EQ(msg.event, UFFD_EVENT_PAGEFAULT);
			EQ(protect(fd, p, PG, 0), 0);
		}
		if (round < 200)
			EQ(protect(fd, p, PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	}
	for (int i = 0; i < THREADS; i++)
		join(&t[i]);
	EQ(((struct shared *)p)->count, THREADS * ROUNDS);
	return 0;
}
