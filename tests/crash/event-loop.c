/* SPDX-License-Identifier: MIT */
/*
 * event-loop.c - the reader of events is killed again and again, and another goes on: none is lost.
 *
 *     event-loop [KILLS]
 *
 * A thread gives pages back one after the other, for ever; readers in other processes read the
 * events into memory that outlives them. Each must be there at least once, and in order: one that
 * comes twice is allowed, as its reader may have been killed when it had it.
 */
#include "crash.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#define PAGES	 1024ul
#define PATIENCE 30000000000ull

/* What the readers leave. A message is done when its event is 0. */
static struct {
	struct uffd_msg msg[4];
	_Atomic uint64_t seen; /* events, each once */
	_Atomic uint64_t twice;
} * left;
struct crew *crew; /* there is none */
static char *memory;
static int fd;
static _Atomic bool stop;

/* The next one, or the last one once more. */
static void take(struct uffd_msg *m)
{
	uint64_t page, seen = atomic_load(&left->seen);

	if (m->event != UFFD_EVENT_REMOVE)
		broken("not the event of a page", m->event, 0);
	page = (m->remove.start - (uintptr_t)memory) / PAGE;
	if (page == seen % PAGES)
		atomic_store(&left->seen, seen + 1);
	else if ((seen - page - 1) % PAGES < 4)
		atomic_fetch_add(&left->twice, 1);
	else
		broken("an event was lost", (long)page, (long)(seen % PAGES));
	m->event = 0;
}

static _Noreturn void reader(void)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	for (unsigned i = 0; i < 4; i++)
		if (left->msg[i].event)
			take(&left->msg[i]);
	for (;;) {
		ssize_t n = read(fd, left->msg, sizeof(left->msg));

		if (n < 0)
			MUST(errno == EAGAIN && poll(&p, 1, -1) >= 0);
		for (ssize_t i = 0; i < n / (ssize_t)sizeof(left->msg[0]); i++)
			take(&left->msg[i]);
	}
}

static void *remover(void *arg)
{
	for (uint64_t i = 0; !atomic_load(&stop); i++)
		MUST(!madvise(memory + i % PAGES * PAGE, PAGE, MADV_DONTNEED));
	return arg;
}

static pid_t begin(void)
{
	pid_t pid = fork();

	MUST(pid >= 0);
	if (!pid)
		reader();
	return pid;
}

static void end(pid_t pid)
{
	int status;

	MUST(!kill(pid, SIGKILL) && waitpid(pid, &status, 0) == pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		broken("a reader ended by itself", status, 0);
}

int main(int argc, char **argv)
{
	unsigned kills = argc > 1 ? (unsigned)atoi(argv[1]) : 200;
	uint64_t random = now_ns() | 1, until;
	pthread_t thread;
	pid_t pid;

	fd = uffd_make(UFFD_FEATURE_EVENT_REMOVE);
	if (fd < 0) {
		fprintf(stderr, "event-loop: userfaultfd is refused: %s\n", strerror(errno));
		return getenv("CRASH_NO_SKIP") ? 1 : EXIT_SKIP;
	}
	MUST(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	left = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	MUST(left != MAP_FAILED && memory != MAP_FAILED);
	MUST(!madvise(memory, PAGES * PAGE, MADV_DONTFORK));
	MUST(!uffd_register(fd, (uintptr_t)memory, PAGES * PAGE));
	pid = begin();
	MUST(!pthread_create(&thread, NULL, remover, NULL));
	for (unsigned i = 0; i < kills; i++) {
		uint64_t before = atomic_load(&left->seen), from = now_ns();

		while (atomic_load(&left->seen) < before + 1) {
			if (now_ns() - from > PATIENCE)
				broken("no event comes", (long)i, (long)before);
			sched_yield();
		}
		for (until = now_ns() + below(&random, 300000); now_ns() < until;)
			;
		end(pid);
		pid = begin();
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	end(pid);
	printf("%u kills, %llu events, %llu twice\n", kills,
	       (unsigned long long)atomic_load(&left->seen),
	       (unsigned long long)atomic_load(&left->twice));
	return 0;
}
