/* SPDX-License-Identifier: MIT */
/*
 * many-processes.c - many processes with many registered ranges each, all at once.
 *
 *     many-processes [--processes N] [--ranges R] [--touch T]
 *
 * Every process registers R ranges, takes T faults, which a thread of it serves, and stays until
 * all have done so. Then half of them are killed, the others take as many faults again and end.
 * Nothing may be left behind.
 */
#include "crash.h"

#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

struct crew *crew; /* there is none */

#define TIME_S 400 /* for everything */

/* A page is registered, the next one is not: no two ranges are one. */
#define STRIDE (2 * PAGE)

struct hall {
	_Atomic uint32_t arrived, again;
	_Atomic bool second; /* the second round has begun */
	_Atomic bool failed;
};

static struct {
	unsigned processes, ranges, touch;
	struct hall *hall;
	char *memory;
	int fd;
} all = {.processes = 200, .ranges = 1000, .touch = 100};

static uint64_t range_at(unsigned i)
{
	return (uint64_t)(uintptr_t)all.memory + i * STRIDE;
}

static void *serve(void *arg)
{
	static uint64_t page[PAGE / 8];
	struct pollfd poll_fd = {.fd = all.fd, .events = POLLIN};
	struct uffd_msg msg;

	(void)arg;
	while (poll(&poll_fd, 1, -1) == 1) {
		uint64_t at;

		if (read(all.fd, &msg, sizeof(msg)) != sizeof(msg))
			continue;
		at = msg.pagefault.address & ~(PAGE - 1);
		for (size_t i = 0; i < PAGE / 8; i++)
			page[i] = pattern(at);
		MUST(uffd_copy(all.fd, at, page, 0) == 0);
	}
	return NULL;
}

/* Every so many ranges, so that the faults lie far apart. */
static void touch(unsigned round)
{
	unsigned step = all.ranges / all.touch;

	for (unsigned i = 0; i < all.touch; i++) {
		uint64_t at = range_at((i * step + round) % all.ranges);

		MUST(*(volatile uint64_t *)(uintptr_t)at == pattern(at));
	}
}

static void wait_until(_Atomic bool *flag)
{
	while (!atomic_load(flag))
		sched_yield();
}

_Noreturn static void run(pid_t parent)
{
	pthread_t thread;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	all.memory = mmap(NULL, all.ranges * STRIDE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(all.memory != MAP_FAILED);
	all.fd = uffd_make(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	MUST(all.fd >= 0);
	for (unsigned i = 0; i < all.ranges; i++)
		MUST(uffd_register(all.fd, range_at(i), PAGE) == 0);
	MUST(pthread_create(&thread, NULL, serve, NULL) == 0);
	touch(0);
	atomic_fetch_add(&all.hall->arrived, 1);
	wait_until(&all.hall->second);
	touch(1);
	for (unsigned i = 0; i < all.ranges; i += 2)
		MUST(uffd_unregister(all.fd, range_at(i), PAGE) == 0);
	atomic_fetch_add(&all.hall->again, 1);
	_exit(0);
}

static void on_alarm(int signo)
{
	static const char text[] = "many-processes: they do not come to an end\n";

	(void)signo;
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(2);
	_exit(1);
}

static unsigned number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 0);

	if (*text == 0 || *end != 0 || value == 0 || value > 100000) {
		fprintf(stderr, "many-processes: '%s' is no good number\n", text);
		exit(2);
	}
	return (unsigned)value;
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"processes", required_argument, NULL, 'p'},
		{"ranges", required_argument, NULL, 'r'},
		{"touch", required_argument, NULL, 't'},
		{0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'p')
			all.processes = number(optarg);
		else if (c == 'r')
			all.ranges = number(optarg);
		else if (c == 't')
			all.touch = number(optarg);
		else
			exit(2);
	}
	if (all.touch > all.ranges)
		all.touch = all.ranges;
}

/* Until so many have arrived, or one has ended before it should. */
static void gather(_Atomic uint32_t *count, unsigned wanted)
{
	int status;

	while (atomic_load(count) < wanted) {
		if (waitpid(-1, &status, WNOHANG) > 0 && status != 0) {
			fprintf(stderr, "many-processes: one ended with status %#x\n",
				(unsigned)status);
			exit(1);
		}
		sched_yield();
	}
}

static void end_all(const pid_t *pid)
{
	unsigned ends = 0, killed = 0;
	int status;

	for (unsigned i = 0; i < all.processes; i += 2)
		kill(pid[i], SIGKILL);
	while (killed < (all.processes + 1) / 2) {
		MUST(waitpid(-1, &status, 0) > 0);
		MUST(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		killed++;
	}
	atomic_store(&all.hall->second, true);
	while (waitpid(-1, &status, 0) > 0) {
		if (status != 0) {
			fprintf(stderr, "many-processes: one ended with status %#x\n",
				(unsigned)status);
			exit(1);
		}
		ends++;
	}
	MUST(ends == all.processes / 2 && atomic_load(&all.hall->again) == ends);
}

int main(int argc, char **argv)
{
	struct leftovers before;
	pid_t *pid;
	int probe;

	parse(argc, argv);
	probe = uffd_make(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	if (probe < 0) {
		fprintf(stderr, "many-processes: userfaultfd is refused: %s\n", strerror(errno));
		return getenv("CRASH_NO_SKIP") ? 1 : EXIT_SKIP;
	}
	close(probe);
	leftovers_note(&before);
	signal(SIGALRM, on_alarm);
	alarm(TIME_S);
	all.hall = mmap(NULL, sizeof(*all.hall), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	pid = calloc(all.processes, sizeof(*pid));
	MUST(all.hall != MAP_FAILED && pid);
	for (unsigned i = 0; i < all.processes; i++) {
		pid_t parent = getpid();

		pid[i] = fork();
		if (pid[i] == 0)
			run(parent);
		MUST(pid[i] > 0);
	}
	gather(&all.hall->arrived, all.processes);
	end_all(pid);
	munmap(all.hall, sizeof(*all.hall));
	free(pid);
	leftovers_check(&before);
	printf("%u processes with %u ranges each\n", all.processes, all.ranges);
	return 0;
}
