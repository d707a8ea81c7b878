/* host_lock.c - locks: exclusion, and what becomes of those of a sibling that is killed. */
#include "host_test.h"
#include "machine/host/siblings.h"

#include <sched.h>
#include <sys/wait.h>

#define FLAGS  (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | SIGCHLD)
#define ROUNDS 20000

static struct mach_lock lock;
static struct mach_rwlock rw;
static uint64_t counter, twin;
static _Atomic uint32_t entered, let_go;
static _Alignas(16) char stack[65536];

static void wait_for(_Atomic uint32_t *word)
{
	while (atomic_load(word) == 0)
		sched_yield();
}

/* ---- Exclusion ---- */

static void *add(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		mach_lock(&lock);
		counter++;
		mach_unlock(&lock);
		mach_write_lock(&rw);
		twin++;
		mach_write_unlock(&rw);
		mach_read_lock(&rw);
		CHECK(twin > 0);
		mach_read_unlock(&rw);
	}
	return arg;
}

static void exclude(void)
{
	pthread_t thread[4];

	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&thread[i], NULL, add, NULL) == 0);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	CHECK(counter == 4 * ROUNDS && twin == 4 * ROUNDS);
	CHECK(atomic_load(&lock.word) == 0 && atomic_load(&rw.word) == 0);
}

static void test_exclusion(void)
{
	test_start();
	exclude();
}

static void test_exclusion_with_siblings(void)
{
	test_start();
	host_expect_siblings();
	exclude();
	CHECK(!readers_any(&rw, false));
}

/* What was taken when nobody expected siblings is given back when somebody does. */
static void test_siblings_come(void)
{
	test_start();
	mach_lock(&lock);
	mach_read_lock(&rw);
	host_expect_siblings();
	mach_read_unlock(&rw);
	mach_unlock(&lock);
	mach_write_lock(&rw);
	CHECK(readers_enter(&rw) && readers_any(&rw, false) && readers_leave(&rw));
	mach_write_unlock(&rw);
	CHECK(atomic_load(&lock.word) == 0 && atomic_load(&rw.word) == 0);
}

/* ---- The dead ---- */

/* A sibling that does this and stays until it is killed. */
static pid_t sibling(int (*fn)(void *))
{
	pid_t pid;

	host_expect_siblings();
	atomic_store(&entered, 0);
	pid = clone(fn, stack + sizeof(stack), FLAGS, NULL);
	CHECK(pid > 0);
	wait_for(&entered);
	return pid;
}

static void kill_it(pid_t pid)
{
	CHECK(kill(pid, SIGKILL) == 0);
	CHECK(waitpid(pid, NULL, 0) == pid);
}

_Noreturn static void stay(void)
{
	atomic_store(&entered, 1);
	for (;;)
		sched_yield();
}

static int hold(void *arg)
{
	(void)arg;
	mach_lock(&lock);
	stay();
}

static int read_on(void *arg)
{
	(void)arg;
	mach_read_lock(&rw);
	stay();
}

static int write_on(void *arg)
{
	(void)arg;
	mach_write_lock(&rw);
	stay();
}

/* The word says when it waits: the test does not let it in. */
static int wait_to_write(void *arg)
{
	(void)arg;
	atomic_store(&entered, 1);
	mach_write_lock(&rw);
	return 0;
}

static void test_dead_holder(void)
{
	test_start();
	kill_it(sibling(hold));
	mach_lock(&lock);
	CHECK((atomic_load(&lock.word) & 0x7fffffff) == sys_gettid());
	mach_unlock(&lock);
	CHECK(atomic_load(&siblings.torn));
}

/* Nobody has reaped it: there is a process of that number, which will not run again. */
static void test_unreaped_holder(void)
{
	siginfo_t info;
	pid_t pid;

	test_start();
	pid = sibling(hold);
	CHECK(kill(pid, SIGKILL) == 0);
	CHECK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
	mach_lock(&lock);
	mach_unlock(&lock);
	CHECK(waitpid(pid, NULL, 0) == pid);
}

static void test_dead_reader(void)
{
	test_start();
	kill_it(sibling(read_on));
	mach_read_lock(&rw);
	mach_read_unlock(&rw);
	mach_write_lock(&rw);
	mach_write_unlock(&rw);
	CHECK(!readers_any(&rw, false) && atomic_load(&siblings.torn));
}

static void test_dead_writer(void)
{
	test_start();
	kill_it(sibling(write_on));
	mach_read_lock(&rw);
	mach_read_unlock(&rw);
	kill_it(sibling(write_on));
	mach_write_lock(&rw);
	mach_write_unlock(&rw);
	CHECK(atomic_load(&rw.word) == 0);
}

static void test_dead_waiter(void)
{
	pid_t pid;

	test_start();
	mach_read_lock(&rw);
	pid = sibling(wait_to_write);
	wait_for(&rw.writers_waiting);
	kill_it(pid);
	mach_read_unlock(&rw);
	mach_read_lock(&rw);
	mach_read_unlock(&rw);
	mach_write_lock(&rw);
	mach_write_unlock(&rw);
}

/* ---- The living ---- */

static void *take(void *arg)
{
	(void)arg;
	mach_lock(&lock);
	atomic_store(&let_go, atomic_load(&let_go) + 1);
	mach_unlock(&lock);
	mach_write_lock(&rw);
	atomic_store(&let_go, atomic_load(&let_go) + 1);
	mach_write_unlock(&rw);
	return NULL;
}

static int hold_both(void *arg)
{
	uint64_t end;

	(void)arg;
	mach_lock(&lock);
	mach_read_lock(&rw);
	atomic_store(&entered, 1);
	/* Several times as long as others wait before they look. */
	for (end = sys_clock_ns() + 5 * HOLDER_NS; sys_clock_ns() < end;)
		CHECK(atomic_load(&let_go) == 0);
	mach_unlock(&lock);
	for (end = sys_clock_ns() + 5 * HOLDER_NS; sys_clock_ns() < end;)
		CHECK(atomic_load(&let_go) <= 1);
	mach_read_unlock(&rw);
	return 0;
}

static void test_living_holder(void)
{
	pthread_t thread;
	int status;
	pid_t pid;

	test_start();
	pid = sibling(hold_both);
	CHECK(pthread_create(&thread, NULL, take, NULL) == 0);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	pthread_join(thread, NULL);
	CHECK(atomic_load(&let_go) == 2 && !atomic_load(&siblings.torn));
}

/* The process in which everything began dies with locks that name nobody; its sibling goes on. */
static int go_on(void *arg)
{
	_Atomic uint32_t *done = arg;

	wait_for(&let_go);
	mach_lock(&lock);
	mach_unlock(&lock);
	mach_write_lock(&rw);
	mach_write_unlock(&rw);
	atomic_store(done, 1);
	return 0;
}

static void test_first_dies(void)
{
	_Atomic uint32_t *done =
		mmap(NULL, UF_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	CHECK(done != MAP_FAILED);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		test_start();
		mach_lock(&lock);
		mach_read_lock(&rw);
		host_expect_siblings();
		CHECK(clone(go_on, stack + sizeof(stack), FLAGS, (void *)done) > 0);
		atomic_store(&let_go, 1);
		raise(SIGKILL);
	}
	CHECK(waitpid(pid, NULL, 0) == pid);
	wait_for(done);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{"exclusion", test_exclusion},
		{"exclusion with siblings", test_exclusion_with_siblings},
		{"siblings come", test_siblings_come},
		{"dead holder", test_dead_holder},
		{"unreaped holder", test_unreaped_holder},
		{"dead reader", test_dead_reader},
		{"dead writer", test_dead_writer},
		{"dead waiter", test_dead_waiter},
		{"living holder", test_living_holder},
		{"first dies", test_first_dies},
	};

	return test_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
