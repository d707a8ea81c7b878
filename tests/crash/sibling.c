/* SPDX-License-Identifier: MIT */
/*
 * sibling.c - a process that shares all memory with its parent is killed again and again.
 *
 *     sibling [--kills N] [--seconds T]
 *
 * The child of clone(CLONE_VM) takes faults, resolves them by ioctl, zaps and write-protects, in
 * the same pages as its parent and a second thread of it. It is killed at a moment of no choice,
 * and followed by another; the parent goes on meanwhile and finds its memory in order.
 */
#include "crash.h"

#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

struct crew *crew; /* there is none */

#define FLAGS	 (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | SIGCHLD)
#define PAGES	 96 /* of which the last third is the parent's alone */
#define OWN	 64
#define SPIN_NS	 2000000
#define LONG_NS	 40000000 /* enough to find that another has died with a lock */
#define PATIENCE 30000000000ull

static struct {
	int fd;
	volatile uint64_t *memory;
	_Atomic uint64_t turns;	   /* of the parent's threads */
	_Atomic uint64_t children; /* ... and of the children */
	_Atomic bool stop;
} all;

static _Alignas(16) char stack[65536];

static uint64_t address(size_t page)
{
	return (uint64_t)(uintptr_t)all.memory + page * PAGE;
}

/* A page is whole, whoever filled it. */
static void look(size_t page)
{
	const volatile uint64_t *p = &all.memory[page * (PAGE / 8)];
	uint64_t first = p[0];

	if (first != 0 && first != pattern(address(page)))
		broken("a page has another's contents", (long)first, (long)page);
}

static void fill(size_t page)
{
	uint64_t contents[PAGE / 8];
	int err;

	for (size_t i = 0; i < PAGE / 8; i++)
		contents[i] = pattern(address(page));
	err = uffd_copy(all.fd, address(page), contents, 0);
	if (err && err != EEXIST)
		broken("a fill failed", err, (long)page);
}

/* With one page in a hundred zapped there is always something to fill. */
static void one_turn(uint64_t *random)
{
	size_t page = below(random, OWN);

	switch (below(random, 8)) {
	case 0 ... 2:
		fill(page);
		break;
	case 3 ... 5:
		look(page);
		break;
	case 6:
		MUST(madvise((void *)(uintptr_t)address(page), PAGE, MADV_DONTNEED) == 0);
		break;
	case 7:
		MUST(uffd_protect(all.fd, address(page), PAGE, below(random, 2)) == 0);
		break;
	}
}

/* Pages that no child touches: nothing that is written to them may be lost. */
static void own_turn(uint64_t *random)
{
	static uint64_t written[PAGES];
	size_t page = OWN + below(random, PAGES - OWN);
	volatile uint64_t *p = &all.memory[page * (PAGE / 8)];

	if (p[1] != (written[page] ? written[page] : p[0]))
		broken("a write was lost", (long)p[1], (long)written[page]);
	if (below(random, 16) == 0) {
		MUST(madvise((void *)(uintptr_t)address(page), PAGE, MADV_DONTNEED) == 0);
		written[page] = 0;
	} else {
		written[page] = *random | 1;
		p[1] = written[page];
	}
}

static void *parent_thread(void *argument)
{
	uint64_t random = 77;

	while (!atomic_load(&all.stop)) {
		one_turn(&random);
		own_turn(&random);
		atomic_fetch_add(&all.turns, 1);
	}
	return argument;
}

/* Answers one fault, if there is one. */
static void serve_one(void)
{
	struct uffd_msg msg;
	uint64_t page;

	if (read(all.fd, &msg, sizeof(msg)) != sizeof(msg))
		return;
	page = (msg.pagefault.address - address(0)) / PAGE;
	if (msg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP)
		MUST(uffd_protect(all.fd, address(page), PAGE, false) == 0);
	else
		fill(page);
	/* It may be there for long: then whoever asked looks again. */
	MUST(uffd_wake(all.fd, address(page), PAGE) == 0);
}

static void *serve(void *argument)
{
	struct pollfd poll_fd = {.fd = all.fd, .events = POLLIN};

	while (!atomic_load(&all.stop)) {
		if (poll(&poll_fd, 1, 20) == 1)
			serve_one();
	}
	return argument;
}

/* It runs on its parent's thread-local storage: nothing of libc's that needs more than errno. */
static int child_main(void *argument)
{
	uint64_t random = *(uint64_t *)argument;

	for (;;) {
		one_turn(&random);
		serve_one();
		atomic_fetch_add_explicit(&all.children, 1, memory_order_relaxed);
	}
	return 0;
}

static void goes_on(unsigned long kills)
{
	uint64_t begin = now_ns(), turns = atomic_load(&all.turns);

	while (atomic_load(&all.turns) == turns) {
		if (now_ns() - begin > PATIENCE) {
			fprintf(stderr, "sibling: after %lu kills the parent does not go on\n",
				kills);
			if (getenv("CRASH_KEEP"))
				raise(SIGSTOP);
			_exit(1);
		}
		sched_yield();
	}
}

static void kill_one(uint64_t *random)
{
	uint64_t seed = any(random) | 1, end;
	pid_t pid = clone(child_main, stack + sizeof(stack), FLAGS, &seed);
	int status;

	MUST(pid > 0);
	end = now_ns() + below(random, below(random, 16) ? SPIN_NS : LONG_NS);
	while (now_ns() < end)
		;
	MUST(kill(pid, SIGKILL) == 0);
	MUST(waitpid(pid, &status, 0) == pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		broken("a child ended by itself", status, 0);
	/* It may have read a message, and died with it. */
	MUST(uffd_wake(all.fd, address(0), PAGES * PAGE) == 0);
}

static unsigned long number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 0);

	if (*text == 0 || *end != 0) {
		fprintf(stderr, "sibling: '%s' is no number\n", text);
		exit(2);
	}
	return value;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"kills", required_argument, NULL, 'k'},
		{"seconds", required_argument, NULL, 't'},
		{0},
	};
	unsigned long kills, wanted = 300, seconds = 100000;
	uint64_t random = now_ns() | 1, end;
	pthread_t thread[2];
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == '?')
			return 2;
		*(c == 'k' ? &wanted : &seconds) = number(optarg);
	}
	all.fd = uffd_make(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	if (all.fd < 0) {
		fprintf(stderr, "sibling: userfaultfd is refused: %s\n", strerror(errno));
		return getenv("CRASH_NO_SKIP") ? 1 : EXIT_SKIP;
	}
	all.memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	MUST(all.memory != MAP_FAILED);
	MUST(uffd_register(all.fd, address(0), PAGES * PAGE) == 0);
	MUST(pthread_create(&thread[0], NULL, serve, NULL) == 0);
	MUST(pthread_create(&thread[1], NULL, parent_thread, NULL) == 0);
	end = now_ns() + seconds * 1000000000ull;
	for (kills = 0; kills < wanted && now_ns() < end; kills++) {
		kill_one(&random);
		goes_on(kills);
	}
	atomic_store(&all.stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	printf("%lu kills, %llu turns of the parent, %llu of the children\n", kills,
	       (unsigned long long)atomic_load(&all.turns),
	       (unsigned long long)atomic_load(&all.children));
	return 0;
}
