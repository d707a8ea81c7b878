/* SPDX-License-Identifier: MIT */
/* Many threads, one range: each page is whole, and unhandle ends the callbacks. */
#include "lib.h"

#define PAGES	256
#define THREADS 4
#define ROUNDS	20

static struct uf_handler *handler;
static char *area;
static _Atomic bool handled;
static _Atomic int late;
static pthread_barrier_t barrier;

static int fill(const struct uf_fault *fault, void *arg)
{
	char contents[PG];
	ssize_t done;

	(void)arg;
	if (!atomic_load(&handled))
		atomic_fetch_add(&late, 1);
	memset(contents, 1 + (int)(fault->page / PG % 100), PG);
	done = uf_fill_copy(handler, (void *)fault->page, contents, PG);
	/* Another thread's callback was first. */
	return done == PG || done == -EEXIST || done == -ENOENT ? 0 : -EIO;
}

static void *touch_all(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	int i;

	pthread_barrier_wait(&barrier);
	for (i = 0; i < 4 * PAGES; i++) {
		uintptr_t page = (uintptr_t)area + (unsigned)rand_r(&seed) % PAGES * PG;
		char got = *(volatile char *)(page + 9), want = (char)(1 + page / PG % 100);

		/* Zero: touched after the end. */
		if (got != want && got != 0)
			return (void *)1;
	}
	return NULL;
}

int main(void)
{
	pthread_t thread[THREADS];
	void *bad;
	int round, i;

	start();
	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	for (round = 0; round < ROUNDS; round++) {
		area = map(PAGES);
		EQ(uf_handle(area, PAGES * PG, UF_REGISTER_MODE_MISSING, fill, NULL, &handler), 0);
		atomic_store(&handled, true);
		for (i = 0; i < THREADS; i++)
			EQ(pthread_create(&thread[i], NULL, touch_all,
					  (void *)(uintptr_t)(round * THREADS + i)),
			   0);
		pthread_barrier_wait(&barrier);
		/* Half of the rounds end while the threads are at it. */
		if (round % 2) {
			EQ(uf_unhandle(handler), 0);
			atomic_store(&handled, false);
		}
		for (i = 0; i < THREADS; i++) {
			EQ(pthread_join(thread[i], &bad), 0);
			CHECK(!bad);
		}
		if (!(round % 2)) {
			for (i = 0; i < PAGES; i++)
				EQ(area[i * PG], (char)(1 + ((uintptr_t)area / PG + i) % 100));
			EQ(uf_unhandle(handler), 0);
			atomic_store(&handled, false);
		}
		EQ(uf_munmap(area, PAGES * PG), 0);
	}
	EQ(late, 0);
	return 0;
}
