/* SPDX-License-Identifier: MIT */
/* member.c - what a member does to its memory. */
#include "crash.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* Who is to serve this member's faults. */
enum attendant {
	NOBODY, /* the member's own thread */
	OTHER,	/* another member, by a descriptor sent over a socket */
	HELPER, /* a forked child, by the descriptor it inherited */
};

static struct {
	unsigned self;
	uint64_t random;
	volatile uint64_t *memory;
	uint64_t *written; /* what word 1 of each page must hold, 0: as the rest */
	uint64_t counter;
	int pipe[2];
	pid_t helper;
	/* Of the context. The lock is not held where a fault may wait. */
	pthread_mutex_t lock;
	int fd; /* -1: given away, or none */
	struct handed about;
	enum attendant attendant;
	uint64_t turn; /* how often it has changed */
	uint32_t attendant_epoch;
	unsigned attendant_member;
	int helper_lives; /* ends when it does */
} me = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1, .helper_lives = -1};

static uint64_t address(size_t page)
{
	return (uint64_t)(uintptr_t)me.memory + page * PAGE;
}

/* ---- The threads beside ---- */

static void *serve_others(void *arg)
{
	static struct server server;

	(void)arg;
	server.self = me.self;
	server.random = now_ns() | 1;
	server.inbox = crew->member[me.self].inbox[0];
	while (!atomic_load(&crew->failed))
		server_turn(&server, 50);
	return NULL;
}

/*
 * The one who saw to the faults is dead, and may have taken some with it that it had read: whoever
 * waits shall ask again.
 */
static void attend_again(uint64_t turn)
{
	pthread_mutex_lock(&me.lock);
	if (me.turn == turn && me.attendant != NOBODY && me.fd >= 0) {
		MUST(uffd_wake(me.fd, me.about.start, me.about.len) == 0);
		me.attendant = NOBODY;
	}
	pthread_mutex_unlock(&me.lock);
}

/* Does somebody else see to the faults? Waits a little for that to change while it is so. */
static bool attended(void)
{
	struct pollfd lives = {.fd = -1, .events = POLLIN};
	bool lost = false, nobody;
	uint64_t turn;

	pthread_mutex_lock(&me.lock);
	if (me.attendant == HELPER)
		lives.fd = me.helper_lives;
	if (me.attendant == OTHER)
		lost = atomic_load(&crew->member[me.attendant_member].epoch) != me.attendant_epoch;
	nobody = me.attendant == NOBODY && me.fd >= 0;
	turn = me.turn;
	pthread_mutex_unlock(&me.lock);
	if (nobody)
		return false;
	if (!lost && poll(&lives, 1, 5) == 0)
		return true;
	attend_again(turn);
	return false;
}

/* Serves the member's own faults while nobody else does. */
static void *serve_own(void *arg)
{
	static struct server server;

	(void)arg;
	server.self = me.self;
	server.random = now_ns() | 1;
	server.inbox = -1;
	while (!atomic_load(&crew->failed)) {
		if (attended() && server.count == 0)
			continue;
		pthread_mutex_lock(&me.lock);
		if (me.fd >= 0)
			server_add(&server, me.fd, &me.about, true);
		server_turn(&server, 1);
		for (unsigned i = server.count; i-- > 0;) {
			if (server.served[i].own)
				server.served[i] = server.served[--server.count];
		}
		pthread_mutex_unlock(&me.lock);
		sched_yield();
	}
	return NULL;
}

/* ---- The context ---- */

static void drop_context(void)
{
	pthread_mutex_lock(&me.lock);
	if (me.fd >= 0)
		close(me.fd);
	me.fd = -1;
	me.attendant = NOBODY;
	me.turn++;
	pthread_mutex_unlock(&me.lock);
	if (me.helper > 0) {
		kill(me.helper, SIGKILL);
		waitpid(me.helper, NULL, 0);
		me.helper = 0;
	}
}

static void send_to_other(void)
{
	unsigned to =
		(me.self + 1 + (unsigned)below(&me.random, crew->members - 1)) % crew->members;
	uint32_t epoch = atomic_load(&crew->member[to].epoch);

	if (!hand_over(crew->member[to].inbox[1], me.fd, &me.about))
		return;
	pthread_mutex_lock(&me.lock);
	me.attendant = OTHER;
	me.turn++;
	me.attendant_member = to;
	me.attendant_epoch = epoch;
	/* Its death is then the descriptor's last close. */
	if (below(&me.random, 3) == 0) {
		close(me.fd);
		me.fd = -1;
	}
	pthread_mutex_unlock(&me.lock);
}

static void enter_child(int place)
{
	atomic_store(&crew->member[me.self].pid[place], (int)getpid());
}

static void leave_child(int place, int status)
{
	atomic_store(&crew->member[me.self].pid[place], 0);
	_exit(status);
}

_Noreturn static void helper_run(pid_t parent)
{
	static struct server server;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	enter_child(1);
	server.self = me.self;
	server.random = me.random | 1;
	server.inbox = -1;
	server_add(&server, me.fd, &me.about, false);
	while (server.count > 0)
		server_turn(&server, 50);
	leave_child(1, 0);
	_exit(0);
}

static void fork_helper(void)
{
	pid_t parent = getpid(), pid;
	int ends[2];

	MUST(pipe(ends) == 0);
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		helper_run(parent);
	}
	MUST(pid > 0);
	close(ends[1]);
	me.helper = pid;
	pthread_mutex_lock(&me.lock);
	if (me.helper_lives >= 0)
		close(me.helper_lives);
	me.helper_lives = ends[0];
	me.attendant = HELPER;
	me.turn++;
	pthread_mutex_unlock(&me.lock);
}

/* New memory with a new context, and somebody to serve it. */
static void renew(void)
{
	size_t len = crew->pages * PAGE;
	uint64_t features = FEATURES;
	int fd, err;

	drop_context();
	if (!crew->fork_events || below(&me.random, 3))
		features &= ~UFFD_FEATURE_EVENT_FORK;
	fd = uffd_make(features);
	MUST(fd >= 0);
	/* Whoever still holds an earlier context may have it registered for that. */
	do {
		if (me.memory)
			munmap((void *)(uintptr_t)me.memory, len);
		me.memory =
			mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		MUST(me.memory != MAP_FAILED);
		err = uffd_register(fd, address(0), len);
	} while (err == EBUSY);
	if (err)
		broken("a register failed", err, 0);
	memset(me.written, 0, crew->pages * sizeof(*me.written));
	pthread_mutex_lock(&me.lock);
	me.fd = fd;
	me.about.member = me.self;
	me.about.epoch = atomic_load(&crew->member[me.self].epoch);
	me.about.context = atomic_fetch_add(&crew->member[me.self].context, 1) + 1;
	me.about.start = address(0);
	me.about.len = len;
	pthread_mutex_unlock(&me.lock);
	if (below(&me.random, 4) == 0)
		fork_helper();
	else if (crew->members > 1 && below(&me.random, 8))
		send_to_other();
}

/* ---- What is done to the memory ---- */

/* A page is as it was filled, or all zero where nobody was there to fill it; never torn. */
static void look(size_t i)
{
	const volatile uint64_t *page = &me.memory[i * (PAGE / 8)];
	uint64_t first = page[0], second = page[1], last = page[PAGE / 8 - 1];

	if (first != 0 && first != pattern(address(i)))
		broken("a page has another's contents", (long)first, (long)pattern(address(i)));
	if (first != last)
		broken("a page is torn", (long)first, (long)last);
	if (second != (me.written[i] ? me.written[i] : first))
		broken("a write was lost", (long)second, (long)me.written[i]);
}

static void put(size_t i)
{
	me.memory[i * (PAGE / 8) + 1] = ++me.counter;
	me.written[i] = me.counter;
}

static void zap(void)
{
	size_t first = below(&me.random, crew->pages);
	size_t count = 1 + below(&me.random, crew->pages - first);

	MUST(madvise((void *)(uintptr_t)address(first), count * PAGE, MADV_DONTNEED) == 0);
	memset(&me.written[first], 0, count * sizeof(*me.written));
}

static void protect(void)
{
	size_t first = below(&me.random, crew->pages);
	size_t count = 1 + below(&me.random, crew->pages - first);
	int err = 0;

	if (me.fd >= 0)
		err = uffd_protect(me.fd, address(first), count * PAGE, true);
	/* Another may have unregistered it for a moment. */
	if (err && err != ENOENT && err != EAGAIN && err != EINVAL)
		broken("write-protection failed", err, 0);
}

static void register_again(void)
{
	size_t len = crew->pages * PAGE;
	int err = 0;

	if (me.fd >= 0)
		err = uffd_unregister(me.fd, address(0), len);
	if (err)
		broken("an unregister failed", err, 0);
	/* Until whoever has just registered it for an earlier context has noticed what it is. */
	do
		err = me.fd >= 0 ? uffd_register(me.fd, address(0), len) : 0;
	while (err == EBUSY && sched_yield() == 0);
	if (err)
		broken("a register failed", err, 1);
}

/* The kernel's own accesses: both ends of a pipe. */
static void through_pipe(void)
{
	size_t from = below(&me.random, crew->pages), to = below(&me.random, crew->pages);
	uint64_t got = 0;

	MUST(write(me.pipe[1], (const void *)(uintptr_t)(address(from) + 8), 8) == 8);
	MUST(read(me.pipe[0], &got, 8) == 8);
	look(from);
	if (got != me.memory[from * (PAGE / 8) + 1])
		broken("a pipe got other bytes", (long)got, (long)from);
	++me.counter;
	MUST(write(me.pipe[1], &me.counter, 8) == 8);
	MUST(read(me.pipe[0], (void *)(uintptr_t)(address(to) + 8), 8) == 8);
	me.written[to] = me.counter;
	look(to);
}

/* The child finds the memory as it was at the fork, whatever the parent does, and its own writes.
 */
_Noreturn static void child_run(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	enter_child(2);
	for (size_t n = 0; n < crew->pages; n++) {
		size_t i = below(&me.random, crew->pages);

		look(i);
		if (n % 3 == 0) {
			put(i);
			look(i);
		}
	}
	leave_child(2, 0);
	_exit(0);
}

static void fork_child(void)
{
	pid_t parent = getpid(), pid;
	int status;

	pid = fork();
	if (pid == 0)
		child_run(parent);
	MUST(pid > 0);
	for (size_t n = 0; n < 8; n++) {
		size_t i = below(&me.random, crew->pages);

		put(i);
		look(i);
	}
	while (waitpid(pid, &status, 0) != pid)
		MUST(errno == EINTR);
	if (status != 0 && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
		broken("a forked child failed", status, 0);
	for (size_t i = 0; i < crew->pages; i++)
		look(i);
}

static void step(void)
{
	unsigned what = (unsigned)below(&me.random, 100);
	size_t page = below(&me.random, crew->pages);

	atomic_store_explicit(&crew->member[me.self].doing, (int)what, memory_order_relaxed);
	if (what < 40)
		look(page);
	else if (what < 70)
		put(page);
	else if (what < 80)
		zap();
	else if (what < 86)
		protect();
	else if (what < 92)
		through_pipe();
	else if (what < 94)
		register_again();
	else if (what < 97)
		fork_child();
	else
		renew();
}

void member_run(unsigned self, uint64_t seed)
{
	pthread_t thread;

	me.self = self;
	me.random = seed | 1;
	me.written = calloc(crew->pages, sizeof(*me.written));
	MUST(me.written != NULL);
	MUST(pipe(me.pipe) == 0);
	MUST(pthread_create(&thread, NULL, serve_others, NULL) == 0);
	MUST(pthread_create(&thread, NULL, serve_own, NULL) == 0);
	renew();
	for (;;) {
		step();
		atomic_fetch_add(&crew->member[self].steps, 1);
	}
}
