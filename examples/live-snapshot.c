/* SPDX-License-Identifier: MIT */
/*
 * live-snapshot.c - a program that never stops, and is saved every few seconds all the same.
 *
 *   live-snapshot [DIRECTORY [MIB [SECONDS [SNAPSHOTS]]]]
 *
 * A bank: threads move money between accounts all the time, one unit at a time. Each takes it from
 * one account and then puts it into another, so at any instant as many units as there are threads
 * can be under way, and no more. A copy made while they run would be off by thousands. A snapshot
 * is not: it is what the accounts were at one instant, though it was written while they changed.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <userfault/pager.h>

enum {
	TELLERS = 2,
	MONEY = 1000, /* in each account, at the beginning */
};

struct bank {
	_Atomic int64_t *account;
	size_t accounts, size; /* size: in bytes */
	atomic_bool closed;
	_Atomic uint64_t transfers;
};

struct teller {
	pthread_t thread;
	struct bank *bank;
	uint64_t state; /* of its random numbers */
};

static int fail(const char *what)
{
	fprintf(stderr, "live-snapshot: %s: %s\n", what, uf_pager_why());
	return 1;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static _Atomic int64_t *random_account(struct teller *t)
{
	t->state = t->state * 6364136223846793005u + 1442695040888963407u;
	return &t->bank->account[(t->state >> 20) % t->bank->accounts];
}

static void *teller_main(void *arg)
{
	struct teller *t = arg;

	while (!atomic_load_explicit(&t->bank->closed, memory_order_relaxed)) {
		atomic_fetch_sub(random_account(t), 1);
		atomic_fetch_add(random_account(t), 1);
		atomic_fetch_add_explicit(&t->bank->transfers, 1, memory_order_relaxed);
	}
	return NULL;
}

static bool open_bank(struct bank *b, size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return false;
	b->account = memory;
	b->size = size;
	b->accounts = size / sizeof(*b->account);
	for (size_t i = 0; i < b->accounts; i++)
		b->account[i] = MONEY;
	return true;
}

/* Writes a snapshot; the tellers work on. */
static int take_snapshot(struct uf_pager *pager, struct bank *b, const char *file)
{
	struct uf_snapshot *snapshot;
	uint64_t pause, before;
	double begin = now();

	if (uf_snapshot_begin(pager, (void *)b->account, b->size, file, NULL, &snapshot, &pause))
		return fail("the snapshot cannot begin");
	before = b->transfers;
	if (uf_snapshot_finish(snapshot))
		return fail("the snapshot is not complete");
	printf("%s: paused for %.3f ms; %" PRIu64 " transfers while it was written, in %.2f s\n",
	       file, (double)pause / 1e6, b->transfers - before, now() - begin);
	return 0;
}

/* What is in a snapshot: memory again, whose pages come from the file when they are touched. */
static int check_snapshot(struct uf_pager *pager, const char *file)
{
	struct uf_source *source;
	struct uf_paged *paged;
	void *memory = NULL;
	const int64_t *account;
	int64_t sum = 0, missing;
	size_t accounts;

	if (uf_source_open(pager, file, &source) < 0 ||
	    uf_pager_map(pager, source, 0, uf_source_size(source), NULL, &memory, &paged) < 0)
		return fail("the snapshot cannot be restored");
	account = memory;
	accounts = uf_source_size(source) / sizeof(*account);
	for (size_t i = 0; i < accounts; i++)
		sum += account[i];
	missing = (int64_t)accounts * MONEY - sum;
	printf("%s: restored; %" PRId64 " units were between two accounts, of at most %d\n", file,
	       missing, TELLERS);
	if (uf_pager_detach(paged) < 0 || uf_source_close(source) < 0)
		return fail("the snapshot cannot be closed");
	return missing < 0 || missing > TELLERS;
}

int main(int argc, char **argv)
{
	const char *directory = argc > 1 ? argv[1] : ".";
	size_t mib = argc > 2 ? strtoul(argv[2], NULL, 0) : 256;
	unsigned seconds = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 0) : 2;
	unsigned snapshots = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 0) : 3;
	struct teller teller[TELLERS];
	struct bank bank = {.closed = false};
	struct uf_pager *pager;
	char file[4096];
	int failed = 0;

	if (uf_pager_new(NULL, &pager) < 0)
		return fail("no pager");
	if (!mib || !open_bank(&bank, mib << 20)) {
		fprintf(stderr, "live-snapshot: there is no memory of %zu MiB\n", mib);
		return 1;
	}
	for (uint64_t i = 0; i < TELLERS; i++) {
		teller[i] = (struct teller){.bank = &bank, .state = i};
		if (pthread_create(&teller[i].thread, NULL, teller_main, &teller[i])) {
			fprintf(stderr, "live-snapshot: there is no thread to be had\n");
			return 1;
		}
	}
	for (unsigned i = 1; !failed && i <= snapshots; i++) {
		sleep(seconds);
		snprintf(file, sizeof(file), "%s/bank.%u", directory, i);
		failed = take_snapshot(pager, &bank, file);
	}
	/* Of the last one, and while there are new transfers. */
	if (!failed && snapshots)
		failed = check_snapshot(pager, file);
	bank.closed = true;
	for (unsigned i = 0; i < TELLERS; i++)
		pthread_join(teller[i].thread, NULL);
	uf_pager_free(pager);
	return failed;
}
