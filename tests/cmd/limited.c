/*
 * limited PAGES THREADS ACCESSES MOST: registers PAGES pages, whose contents a thread that reads
 * the descriptor makes up, and lets THREADS threads read and write them at random, each its own
 * part, ACCESSES times, and compare all they see with what must be there. Prints "done", and
 * complains if ever more than MOST KiB of memory files are in use (0: does not look).
 *
 * limited forks PAGES THREADS ACCESSES: the same without MOST; then, as the threads do it all
 * again, a forked child does it in memory of its own.
 *
 * limited moves PAGES MOST: moves PAGES pages that have contents to where they count, at once.
 *
 * limited refused PAGES: fills pages until that fails, says with what error and whether those that
 * were filled have their contents, and touches one more.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "userfault/abi.h"

#define PAGE  4096
#define WORDS (PAGE / 8)

static int uffd;
static uint64_t *memory;
static uint32_t *written; /* per page: how often it has been written */
static size_t pages, threads, accesses, most;

static void check(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccd;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53;
	return x ^ x >> 33;
}

/*
 * What a page has after it was written so often: some pages compress well, some not at all, some
 * are empty.
 */
static uint64_t word(size_t page, uint32_t times, size_t i)
{
	switch (page % 4) {
	case 0:
		return times ? mix(page * 1000 + times) : 0;
	case 1:
		return mix(page * 1000003 + times * 31 + i);
	default:
		return i % 16 ? page : mix(page + times * 7 + i);
	}
}

static void write_page(uint64_t *p, size_t page, uint32_t times)
{
	for (size_t i = 0; i < WORDS; i++)
		p[i] = word(page, times, i);
}

static void check_page(const uint64_t *p, size_t page, uint32_t times)
{
	for (size_t i = 0; i < WORDS; i++) {
		if (p[i] == word(page, times, i))
			continue;
		fprintf(stderr, "page %zu, written %u times, word %zu: %#jx, not %#jx\n", page,
			times, i, (uintmax_t)p[i], (uintmax_t)word(page, times, i));
		exit(1);
	}
}

/* ---- The memory that the process's memory files take ----------------------------------------- */

static size_t kib_in_frames(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *d;
	size_t kib = 0;

	check(dir != NULL, "/proc/self/fd");
	while ((d = readdir(dir)) != NULL) {
		char target[256] = "";
		struct stat st;

		if (readlinkat(dirfd(dir), d->d_name, target, sizeof(target) - 1) > 0 &&
		    strstr(target, "userfault-frames") &&
		    fstatat(dirfd(dir), d->d_name, &st, 0) == 0)
			kib += (size_t)st.st_blocks / 2;
	}
	closedir(dir);
	return kib;
}

static void look_at_frames(void)
{
	size_t kib = most ? kib_in_frames() : 0;

	if (kib <= most)
		return;
	fprintf(stderr, "%zu KiB are in memory, %zu are allowed\n", kib, most);
	exit(1);
}

/* ---- Threads --------------------------------------------------------------------------------- */

static void *serve(void *unused)
{
	static uint64_t contents[WORDS] __attribute__((aligned(PAGE)));
	struct uf_msg msg;

	(void)unused;
	while (read(uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		struct uf_copy copy = {
			.dst = msg.arg.pagefault.address & ~(uint64_t)(PAGE - 1),
			.src = (uint64_t)contents,
			.len = PAGE,
		};

		write_page(contents, (copy.dst - (uint64_t)memory) / PAGE, 0);
		check(ioctl(uffd, UF_IO_COPY, &copy) == 0 || errno == EEXIST, "COPY");
	}
	return NULL;
}

static void *work(void *arg)
{
	size_t me = (size_t)arg, first = pages * me / threads, end = pages * (me + 1) / threads;
	uint64_t seed = me + 1;

	for (size_t n = 0; n < accesses; n++) {
		size_t page = first + (seed = mix(seed)) % (end - first);
		uint64_t *p = memory + page * WORDS;

		check_page(p, page, written[page]);
		if (seed >> 40 & 1)
			write_page(p, page, ++written[page]);
		if (n % 64 == 0)
			look_at_frames();
	}
	for (size_t page = first; page < end; page++)
		check_page(memory + page * WORDS, page, written[page]);
	return NULL;
}

static void start(void)
{
	struct uf_api api = {.api = UF_API};
	struct uf_register reg = {.mode = UF_REGISTER_MODE_MISSING};

	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	check(uffd >= 0, "userfaultfd");
	check(ioctl(uffd, UF_IO_API, &api) == 0, "API");
	memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	check(memory != MAP_FAILED, "mmap");
	reg.range = (struct uf_range){(uint64_t)memory, pages * PAGE};
	check(ioctl(uffd, UF_IO_REGISTER, &reg) == 0, "REGISTER");
}

static sigjmp_buf back;

static void caught(int sig)
{
	siglongjmp(back, sig);
}

/* Make the last page. The signal that it gets, or 0. */
static int touch_last(void)
{
	int sig;

	signal(SIGBUS, caught);
	sig = sigsetjmp(back, 1);
	if (!sig)
		*(volatile uint64_t *)(memory + (pages - 1) * WORDS) = 1;
	return sig;
}

static int refused(void)
{
	static uint64_t contents[WORDS] __attribute__((aligned(PAGE)));
	struct uf_copy copy = {.src = (uint64_t)contents, .len = PAGE};
	size_t n = 0;

	start();
	for (; n < pages; n++) {
		copy.dst = (uint64_t)(memory + n * WORDS);
		copy.copy = 0;
		write_page(contents, n, 1);
		if (ioctl(uffd, UF_IO_COPY, &copy) != 0)
			break;
	}
	if (n == pages) {
		puts("all filled");
		return 0;
	}
	printf("%zu filled, then %s\n", n, errno == ENOMEM ? "ENOMEM" : strerror(errno));
	for (size_t i = 0; i < n; i++)
		check_page(memory + i * WORDS, i, 1);
	/* An ordinary fault, which asks nobody. */
	check(ioctl(uffd, UF_IO_UNREGISTER, &(struct uf_range){(uint64_t)memory, pages * PAGE}) ==
		      0,
	      "UNREGISTER");
	puts(touch_last() == SIGBUS ? "SIGBUS" : "no signal");
	madvise(memory, n * PAGE, MADV_DONTNEED);
	puts(touch_last() ? "still no room" : "room again");
	return 0;
}

static int moves(void)
{
	uint64_t *from = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uf_move move = {.src = (uint64_t)from, .len = pages * PAGE};

	check(from != MAP_FAILED, "mmap");
	for (size_t page = 0; page < pages; page++)
		write_page(from + page * WORDS, page, 1);
	start();
	move.dst = (uint64_t)memory;
	check(ioctl(uffd, UF_IO_MOVE, &move) == 0, "MOVE");
	look_at_frames();
	for (size_t page = 0; page < pages; page++)
		check_page(memory + page * WORDS, page, 1);
	look_at_frames();
	puts("done");
	return 0;
}

static void run_threads(void)
{
	pthread_t worker[64];

	for (size_t i = 0; i < threads; i++)
		check(pthread_create(&worker[i], NULL, work, (void *)i) == 0, "pthread_create");
	for (size_t i = 0; i < threads; i++)
		pthread_join(worker[i], NULL);
}

static void start_serving(void)
{
	pthread_t server;

	start();
	memset(written, 0, pages * sizeof(*written));
	check(pthread_create(&server, NULL, serve, NULL) == 0, "pthread_create");
}

static void fork_beside(void)
{
	int status;
	pid_t child = fork();

	check(child >= 0, "fork");
	if (child == 0) {
		alarm(100);
		start_serving();
		run_threads();
		exit(0);
	}
	run_threads();
	check(waitpid(child, &status, 0) == child, "waitpid");
	if (status != 0) {
		fprintf(stderr, "the child ended with %#x\n", (unsigned)status);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	bool forks = argc == 5 && strcmp(argv[1], "forks") == 0;

	alarm(100);
	if (argc == 3 && strcmp(argv[1], "refused") == 0) {
		pages = strtoul(argv[2], NULL, 10);
		return refused();
	}
	if (argc == 4 && strcmp(argv[1], "moves") == 0) {
		pages = strtoul(argv[2], NULL, 10);
		most = strtoul(argv[3], NULL, 10);
		return moves();
	}
	if (argc != 5)
		return 2;
	pages = strtoul(argv[1 + forks], NULL, 10);
	threads = strtoul(argv[2 + forks], NULL, 10);
	accesses = strtoul(argv[3 + forks], NULL, 10);
	most = forks ? 0 : strtoul(argv[4], NULL, 10);
	if (pages == 0 || threads == 0 || threads > 64 || pages < threads)
		return 2;
	written = calloc(pages, sizeof(*written));
	check(written != NULL, "calloc");
	start_serving();
	run_threads();
	if (forks)
		fork_beside();
	look_at_frames();
	puts("done");
	return 0;
}
