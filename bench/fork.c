/* SPDX-License-Identifier: MIT */
/*
 * What fork costs with managed memory.
 *
 *     fork [MIB [ROUNDS]]
 *
 * The memory is registered, and every page of it filled. A fork is over when both processes run.
 * Then each side writes to pages that the other one still shares, and so gets copies of them.
 */
#include "bench.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHUNK	 (2 * MIB)
#define CONTENTS 0x33
#define COPIES	 8192 /* pages that each side writes to, at most */

/* What the processes tell each other. */
struct shared {
	_Atomic uint64_t child_runs; /* when it did first */
	_Atomic uint64_t child_copies;
	_Atomic bool go, failed;
};

static struct shared *shared;
static uint8_t *area;
static size_t len, copies;

static void fill(void)
{
	uint8_t *source = map_anon(CHUNK);
	int fd = uffd_open(0, UFFD_FEATURE_PAGEFAULT_FLAG_WP);

	memset(source, CONTENTS, CHUNK);
	area = map_small_pages(len);
	uffd_register(fd, area, len, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP);
	for (size_t at = 0; at < len; at += CHUNK) {
		uffd_copy(fd, area + at, source, CHUNK);
		/* As a program would have it: its own page, in its page tables. */
		for (size_t page = at; page < at + CHUNK; page += PAGE)
			((volatile uint8_t *)area)[page] = CONTENTS;
	}
	munmap(source, CHUNK);
}

/* One write to each page, over pages that only this side writes to. Per page. */
static uint64_t write_pages(size_t first, uint8_t value)
{
	uint64_t begin = now_ns();

	for (size_t i = 0; i < copies; i++)
		((volatile uint8_t *)area)[(first + i) * PAGE] = value;
	return (now_ns() - begin) / copies;
}

static bool pages_hold(size_t first, uint8_t value)
{
	for (size_t i = 0; i < copies; i++) {
		if (((volatile uint8_t *)area)[(first + i) * PAGE] != value)
			return false;
	}
	return true;
}

static void wait_for_go(void)
{
	while (!atomic_load(&shared->go))
		;
}

/* The child copies the second stretch, its parent the first one. */
__attribute__((noreturn)) static void child(void)
{
	atomic_store(&shared->child_runs, now_ns());
	wait_for_go();
	atomic_store(&shared->child_copies, write_pages(copies, 1));
	if (!pages_hold(0, CONTENTS) || !pages_hold(copies, 1))
		atomic_store(&shared->failed, true);
	_exit(0);
}

static void one_round(struct samples *both, struct samples *parent_copies,
		      struct samples *child_copies)
{
	uint64_t begin, returned, runs;
	int status;
	pid_t pid;

	memset(shared, 0, sizeof(*shared));
	begin = now_ns();
	pid = fork();
	if (pid == 0)
		child();
	returned = now_ns();
	if (pid < 0)
		die("fork");
	while ((runs = atomic_load(&shared->child_runs)) == 0)
		check(waitpid(pid, &status, WNOHANG) == 0, "the child has ended");
	samples_add(both, (double)((runs > returned ? runs : returned) - begin));
	samples_add(parent_copies, (double)write_pages(0, 2));
	atomic_store(&shared->go, true);
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	check(status == 0 && !atomic_load(&shared->failed),
	      "the child did not find the memory as it was");
	check(pages_hold(copies, CONTENTS), "the parent sees what the child wrote");
	samples_add(child_copies, (double)atomic_load(&shared->child_copies));
	/* As before, for the next one: nothing of it is shared any more. */
	write_pages(0, CONTENTS);
}

int main(int argc, char **argv)
{
	struct samples both = {0}, parent_copies = {0}, child_copies = {0};
	size_t rounds = number_argument(argc, argv, 2, 7);

	len = number_argument(argc, argv, 1, 1024) * MIB;
	check(len >= CHUNK && len % CHUNK == 0, "an even number of MiB is needed");
	copies = len / PAGE / 4 < COPIES ? len / PAGE / 4 : COPIES;
	shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap");
	warm_up_memory(len + 2 * copies * PAGE);
	fill();
	for (size_t i = 0; i < rounds; i++)
		one_round(&both, &parent_copies, &child_copies);
	emit("fork-both", samples_median(&both), "ns");
	emit("fork-parent-copy", samples_median(&parent_copies), "ns");
	emit("fork-child-copy", samples_median(&child_copies), "ns");
	return 0;
}
