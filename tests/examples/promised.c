/*
 * promised.c - what the manual pages of the pager promise at its edges: what is refused, what
 * becomes of memory at the end, and who gets which signal.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <userfault/pager.h>
#include <userfault/userfault.h>

enum {
	PAGE = 4096,
	CHUNK = 16384,
	LEN = 1 << 20,
	BAD = LEN / 2, /* this page of the source cannot be read, if `broken` */
};

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition,        \
				uf_pager_why());                                                   \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)
/* An error, with a sentence that says why. */
#define REFUSED(call, error) CHECK((call) == (error) && strlen(uf_pager_why()) > 10)

static unsigned backend; /* UF_PAGED_KERNEL or UF_PAGED_OWN */
static atomic_bool broken, held, asked;

static unsigned char contents_of(uint64_t offset)
{
	return (unsigned char)(offset / PAGE % 251 + 1);
}

/* arg: it is never held up. */
static int contents(void *arg, uint64_t offset, void *buf, size_t len)
{
	asked = true;
	while (held && !arg)
		sched_yield();
	if (broken && offset <= BAD && BAD < offset + len)
		return -EBADMSG;
	for (size_t at = 0; at < len; at += PAGE)
		memset((char *)buf + at, contents_of(offset + at), PAGE);
	return 0;
}

static sigjmp_buf back;

static void on_signal(int sig)
{
	siglongjmp(back, sig);
}

/* The byte at p, or minus the signal that one gets for it. */
static int touch(const void *p)
{
	struct sigaction to = {.sa_handler = on_signal, .sa_flags = SA_NODEFER}, segv, bus;
	int sig = sigsetjmp(back, 1), byte = 0;

	if (sig)
		byte = -sig;
	else {
		sigaction(SIGBUS, &to, &bus);
		uf_sigaction(SIGSEGV, &to, &segv);
		byte = *(volatile const unsigned char *)p;
	}
	to.sa_handler = SIG_DFL;
	sigaction(SIGBUS, &to, NULL);
	uf_sigaction(SIGSEGV, &to, NULL);
	return byte;
}

static struct uf_pager *start(struct uf_source **source, uint64_t size)
{
	struct uf_pager *pager;

	CHECK(uf_pager_new(NULL, &pager) == 0);
	CHECK(uf_source_new(pager, size, CHUNK, 2, contents, NULL, source) == 0);
	return pager;
}

static char *map(struct uf_pager *pager, struct uf_source *source, size_t len, unsigned flags,
		 struct uf_paged **paged)
{
	struct uf_paged_options options = UF_PAGED_OPTIONS;
	void *memory = NULL;

	options.flags = flags | backend;
	CHECK(uf_pager_map(pager, source, 0, len, &options, &memory, paged) == 0);
	return memory;
}

static void refuses(void)
{
	struct uf_pager_options of_pager = UF_PAGER_OPTIONS;
	struct uf_paged_options options = UF_PAGED_OPTIONS;
	struct uf_source *source, *other;
	struct uf_pager *pager = start(&source, LEN), *second;
	struct uf_paged_range range = {.size = PAGE, .page_size = PAGE};
	struct uf_paged *paged;
	void *memory = NULL;

	of_pager.size = 3;
	REFUSED(uf_pager_new(&of_pager, &second), -EINVAL);
	of_pager.size = sizeof(of_pager);
	of_pager.trace = "/nowhere/at/all";
	REFUSED(uf_pager_new(&of_pager, &second), -ENOENT);
	REFUSED(uf_source_open(pager, "/nowhere", &other), -ENOENT);
	REFUSED(uf_source_new(pager, LEN, 5000, 1, contents, NULL, &other), -EINVAL);
	REFUSED(uf_source_new(pager, 0, CHUNK, 1, contents, NULL, &other), -EINVAL);
	REFUSED(uf_pager_map(pager, source, 0, 100, NULL, &memory, &paged), -EINVAL);
	REFUSED(uf_pager_map(pager, source, 1, PAGE, NULL, &memory, &paged), -EINVAL);
	options.flags = UF_PAGED_KERNEL | UF_PAGED_OWN;
	REFUSED(uf_pager_map(pager, source, 0, PAGE, &options, &memory, &paged), -EINVAL);
	options.flags = 1u << 20;
	REFUSED(uf_pager_map(pager, source, 0, PAGE, &options, &memory, &paged), -EINVAL);
	options.flags = backend;
	options.prefetch = "/nowhere";
	REFUSED(uf_pager_map(pager, source, 0, PAGE, &options, &memory, &paged), -ENOENT);
	options.prefetch = NULL;
	options.limit = 1 << 20;
	REFUSED(uf_pager_attach(pager, source, 0, -1, &range, 1, &options, &paged), -EINVAL);
	REFUSED(uf_pager_attach(pager, source, -1, -1, &range, 1, NULL, &paged), -EBADF);
	REFUSED(uf_pager_attach(pager, source, 0, -1, &range, 0, NULL, &paged), -EINVAL);
	range.size = 2 * LEN;
	REFUSED(uf_pager_attach(pager, source, 0, -1, &range, 1, NULL, &paged), -ERANGE);
	map(pager, source, LEN, 0, &paged);
	REFUSED(uf_source_close(source), -EBUSY);
	CHECK(uf_pager_detach(paged) == 0);
	CHECK(uf_source_close(source) == 0);
	uf_pager_free(pager);
}

/* Memory beyond the source's end is zero, and it is not writable unless that was asked for. */
static void bounds(void)
{
	struct uf_source *source;
	struct uf_pager *pager = start(&source, LEN - 10);
	struct uf_paged *paged;
	char *memory = map(pager, source, 2 * LEN, 0, &paged);
	int status;
	pid_t pid;

	CHECK(uf_source_size(source) == LEN - 10);
	CHECK(touch(memory + LEN - 11) == contents_of(LEN - 11));
	CHECK(touch(memory + LEN - 10) == 0 && touch(memory + LEN) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		memory[0] = 1;
		_exit(0);
	}
	/* Nor is it in a child at all. */
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
	      WTERMSIG(status) == SIGSEGV);
	CHECK(uf_pager_wait(paged) == 0);
	CHECK(uf_pager_detach(paged) == 0);
	CHECK(touch(memory) == -SIGSEGV);
	uf_pager_free(pager);
}

/* One page cannot be had: SIGBUS for it, and for no other. */
static void failure(void)
{
	struct uf_source *source;
	struct uf_pager *pager = start(&source, LEN);
	struct uf_paged *paged;
	struct uf_paged_stats stats;
	char *memory;

	broken = true;
	memory = map(pager, source, LEN, UF_PAGED_WRITABLE | UF_PAGED_DEMAND, &paged);
	CHECK(touch(memory + BAD) == -SIGBUS);
	CHECK(touch(memory + BAD - CHUNK) == contents_of(BAD - CHUNK));
	CHECK(uf_pager_wait(paged) == -EIO);
	CHECK(uf_pager_release(paged) == -EIO);
	CHECK(touch(memory) == contents_of(0));
	uf_paged_get_stats(paged, &stats);
	CHECK(stats.failed >= 1 && stats.faults >= 2 && stats.max_ns >= stats.p50_ns);
	uf_pager_free(pager);
	/* Gone with its pager, rather than full of zeros. */
	CHECK(touch(memory + PAGE) == -SIGSEGV);
	broken = false;
}

static void *touching(void *arg)
{
	return (void *)(intptr_t)touch(arg);
}

/* Who waits for memory that is detached gets SIGSEGV. */
static void detached(void)
{
	struct uf_source *source;
	struct uf_pager *pager = start(&source, LEN);
	struct uf_paged *paged;
	pthread_t thread;
	void *result;
	char *memory;

	held = true;
	asked = false;
	memory = map(pager, source, LEN, UF_PAGED_DEMAND, &paged);
	CHECK(pthread_create(&thread, NULL, touching, memory + PAGE) == 0);
	while (!asked)
		sched_yield();
	CHECK(uf_pager_detach(paged) == 0);
	pthread_join(thread, &result);
	CHECK((intptr_t)result == -SIGSEGV);
	held = false;
	uf_pager_free(pager);
}

static atomic_int closing_thread;

static void *closing(void *arg)
{
	closing_thread = gettid();
	CHECK(uf_source_close(arg) == 0);
	return NULL;
}

static bool sleeps(int tid)
{
	char path[64], line[256] = "", *state;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	file = fopen(path, "r");
	CHECK(file && fgets(line, sizeof(line), file));
	fclose(file);
	state = strrchr(line, ')');
	return state && state[2] == 'S';
}

/* A source that is closed while one of its reads takes for ever is nobody else's business. */
static void closed(void)
{
	struct uf_source *source, *other;
	struct uf_pager *pager = start(&source, LEN);
	struct uf_paged *paged;
	pthread_t thread;
	char *memory;

	CHECK(uf_source_new(pager, LEN, CHUNK, 1, contents, &other, &other) == 0);
	held = true;
	asked = false;
	map(pager, source, LEN, 0, &paged);
	while (!asked)
		sched_yield();
	CHECK(uf_pager_detach(paged) == 0);
	memory = map(pager, other, LEN, UF_PAGED_DEMAND, &paged);
	closing_thread = 0;
	CHECK(pthread_create(&thread, NULL, closing, source) == 0);
	while (!closing_thread || !sleeps(closing_thread))
		sched_yield();
	for (size_t at = 0; at < LEN; at += PAGE)
		CHECK(touch(memory + at) == contents_of(at));
	held = false;
	pthread_join(thread, NULL);
	uf_pager_free(pager);
}

static void check_contents(const char *memory, const char *what)
{
	for (size_t at = PAGE; at < LEN; at += PAGE) {
		if ((unsigned char)memory[at] != contents_of(at)) {
			fprintf(stderr, "%s: the page at %zu is wrong\n", what, at);
			exit(1);
		}
	}
	CHECK(memory[0] == 0x77);
}

/* Memory that is released is the program's: it survives pager and source, and can be saved. */
static void released(void)
{
	char target[] = "/tmp/promised-XXXXXX";
	struct uf_source *source;
	struct uf_pager *pager = start(&source, LEN);
	struct uf_snapshot *snapshot;
	struct uf_paged *paged;
	void *restored = NULL;
	char *memory = map(pager, source, LEN, UF_PAGED_WRITABLE, &paged);
	int fd = mkstemp(target), status;
	pid_t pid;

	CHECK(fd >= 0 && close(fd) == 0);
	memory[0] = 0x77;
	REFUSED(uf_snapshot_begin(pager, memory, LEN, target, NULL, &snapshot, NULL), -EBUSY);
	REFUSED(uf_pager_send(pager, memory + PAGE, PAGE, 0, NULL), -EBUSY);
	CHECK(uf_pager_release(paged) == 0);
	CHECK(uf_source_close(source) == 0);
	uf_pager_free(pager);
	check_contents(memory, "released");
	if (backend == UF_PAGED_KERNEL) {
		pid = fork();
		CHECK(pid >= 0);
		if (pid == 0)
			_exit(memory[0] != 0x77);
		CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	}

	CHECK(uf_pager_new(NULL, &pager) == 0);
	CHECK(uf_snapshot_begin(pager, memory, LEN, target, NULL, &snapshot, NULL) == 0);
	memset(memory, 0, LEN);
	CHECK(uf_snapshot_finish(snapshot) == 0);
	CHECK((backend == UF_PAGED_OWN ? uf_munmap(memory, LEN) : munmap(memory, LEN)) == 0);
	CHECK(uf_source_open(pager, target, &source) == 0);
	CHECK(uf_pager_map(pager, source, 0, LEN, NULL, &restored, &paged) == 0);
	check_contents(restored, "restored");
	uf_pager_free(pager);
	CHECK(unlink(target) == 0);
}

static atomic_uint ready;

struct toucher {
	pthread_t thread;
	const char *memory;
	size_t first;
};

static void *touch_all(void *arg)
{
	const struct toucher *t = arg;

	ready++;
	for (size_t i = 0; i < LEN / PAGE; i++) {
		size_t at = (t->first + i * 101) % (LEN / PAGE) * PAGE;

		if (*(volatile const unsigned char *)(t->memory + at) != contents_of(at))
			return (void *)1;
	}
	return NULL;
}

/* While threads wait for its pages: none of them reads a zero. */
static void released_in_use(void)
{
	enum {
		TOUCHERS = 3,
		ROUNDS = 10
	};
	struct uf_source *source;
	struct uf_pager *pager = start(&source, LEN);
	struct toucher toucher[TOUCHERS];
	struct uf_paged *paged;
	void *result;
	char *memory;

	for (unsigned round = 0; round < ROUNDS; round++) {
		memory = map(pager, source, LEN, UF_PAGED_DEMAND, &paged);
		ready = 0;
		for (unsigned i = 0; i < TOUCHERS; i++) {
			toucher[i] = (struct toucher){.memory = memory, .first = i * 37};
			CHECK(pthread_create(&toucher[i].thread, NULL, touch_all, &toucher[i]) ==
			      0);
		}
		while (ready < TOUCHERS)
			sched_yield();
		CHECK(uf_pager_release(paged) == 0);
		for (unsigned i = 0; i < TOUCHERS; i++) {
			pthread_join(toucher[i].thread, &result);
			CHECK(!result);
		}
		CHECK(uf_munmap(memory, LEN) == 0);
	}
	uf_pager_free(pager);
}

/* What cannot be saved is refused, with the cause, and leaves nothing. */
static void not_saved(void)
{
	char *memory = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uf_snapshot_options options = UF_SNAPSHOT_OPTIONS;
	char target[] = "/tmp/promised-XXXXXX";
	struct uf_snapshot *snapshot;
	struct uf_pager *pager;
	int fd = mkstemp(target);

	CHECK(memory != MAP_FAILED && fd >= 0 && close(fd) == 0 && unlink(target) == 0);
	CHECK(uf_pager_new(NULL, &pager) == 0);
	memset(memory, 1, LEN);
	REFUSED(uf_snapshot_begin(pager, memory + 1, PAGE, target, NULL, &snapshot, NULL), -EINVAL);
	REFUSED(uf_snapshot_begin(pager, memory, 0, target, NULL, &snapshot, NULL), -EINVAL);
	REFUSED(uf_snapshot_begin(pager, (void *)(uintptr_t)PAGE, PAGE, target, NULL, &snapshot,
				  NULL),
		-EINVAL);
	REFUSED(uf_snapshot_begin(pager, memory, LEN, "/nowhere/at/all", NULL, &snapshot, NULL),
		-ENOENT);
	options.kind = "no such kind";
	REFUSED(uf_snapshot_begin(pager, memory, LEN, target, &options, &snapshot, NULL), -EINVAL);
	CHECK(access(target, F_OK) < 0);

	CHECK(uf_snapshot_begin(pager, memory, LEN, target, NULL, &snapshot, NULL) == 0);
	uf_snapshot_cancel(snapshot);
	CHECK(access(target, F_OK) < 0);
	uf_pager_free(pager);
	CHECK(munmap(memory, LEN) == 0);
}

/* May the kernel's be used? */
static bool possible(void)
{
	struct uf_paged_options options = UF_PAGED_OPTIONS;
	struct uf_source *source;
	struct uf_pager *pager = start(&source, LEN);
	struct uf_paged *paged;
	void *memory = NULL;
	int error;

	options.flags = backend;
	error = uf_pager_map(pager, source, 0, LEN, &options, &memory, &paged);
	CHECK(error == 0 || (backend == UF_PAGED_KERNEL && (error == -EPERM || error == -ENOSYS)));
	uf_pager_free(pager);
	return error == 0;
}

int main(void)
{
	static const unsigned backends[] = {UF_PAGED_OWN, UF_PAGED_KERNEL};

	for (unsigned i = 0; i < 2; i++) {
		backend = backends[i];
		if (!possible()) {
			printf("the kernel's userfaultfd may not be used here\n");
			continue;
		}
		not_saved();
		refuses();
		bounds();
		failure();
		detached();
		closed();
		released();
		released_in_use();
	}
	return 0;
}
