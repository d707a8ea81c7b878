/* SPDX-License-Identifier: MIT */
/*
 * A program that uses no userfaultfd and does one thing all the time.
 *
 *     quiet calls|memory|threads [SCALE]
 *
 * calls: reads and writes of one byte; memory: malloc and free of small and large blocks; threads:
 * creating and joining them, and two that take turns.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOTS 256

static void calls(size_t scale)
{
	char byte = 1;
	int fds[2];

	if (pipe(fds))
		die("pipe");
	for (size_t i = 0; i < 10000 * scale; i++) {
		check(write(fds[1], &byte, 1) == 1, "short write to a pipe");
		check(read(fds[0], &byte, 1) == 1, "short read from a pipe");
	}
	close(fds[0]);
	close(fds[1]);
}

/* Every 32nd block has a mapping of its own. */
static void memory(size_t scale)
{
	static char *slot[SLOTS];
	uint64_t seed = 88172645463325252ULL;

	for (size_t i = 0; i < 20000 * scale; i++) {
		size_t at, size;

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		at = seed % SLOTS;
		size = (seed >> 20) % 32 ? (seed >> 30) % 1024 : 160 * 1024 + (seed >> 30) % 65536;
		free(slot[at]);
		slot[at] = malloc(size + 1);
		check(slot[at] != NULL, "malloc failed");
		slot[at][0] = slot[at][size] = 1;
	}
	for (size_t i = 0; i < SLOTS; i++) {
		free(slot[i]);
		slot[i] = NULL;
	}
}

static struct {
	pthread_mutex_t lock;
	pthread_cond_t change;
	size_t turn, last;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER};

static void *take_turns(void *argument)
{
	size_t mine = *(const size_t *)argument;

	pthread_mutex_lock(&table.lock);
	while (table.turn < table.last) {
		if (table.turn % 2 == mine) {
			table.turn++;
			pthread_cond_signal(&table.change);
		} else {
			pthread_cond_wait(&table.change, &table.lock);
		}
	}
	pthread_cond_signal(&table.change);
	pthread_mutex_unlock(&table.lock);
	return NULL;
}

static void *do_nothing(void *argument)
{
	return argument;
}

static void start_and_join(void *(*fn)(void *))
{
	size_t number[2] = {0, 1};
	pthread_t thread[2];

	for (int k = 0; k < 2; k++)
		check(!pthread_create(&thread[k], NULL, fn, &number[k]), "pthread_create failed");
	for (int k = 0; k < 2; k++)
		pthread_join(thread[k], NULL);
}

static void threads(size_t scale)
{
	for (size_t i = 0; i < 50 * scale; i++)
		start_and_join(do_nothing);
	table.turn = 0;
	table.last = 200 * scale;
	start_and_join(take_turns);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(size_t scale);
	} part[] = {{"calls", calls}, {"memory", memory}, {"threads", threads}};
	size_t scale = number_argument(argc, argv, 2, 100);

	for (size_t i = 0; argc > 1 && i < sizeof(part) / sizeof(part[0]); i++) {
		uint64_t start = now_ns();
		char name[32];

		if (strcmp(part[i].name, argv[1]) != 0)
			continue;
		part[i].run(scale);
		snprintf(name, sizeof(name), "quiet-%s", argv[1]);
		emit(name, (double)(now_ns() - start) / 1e6, "ms");
		return 0;
	}
	fprintf(stderr, "usage: quiet calls|memory|threads [SCALE]\n");
	return 2;
}
