/*
 * take-over.c - the server of a guest is killed at any moment, and another one takes the guest over
 * from its file: nothing is lost, nothing is wrong. The guest is this process: its threads read
 * every page, write to some, and give others back, and know what each has to contain.
 *
 * take-over [KILLS]
 */
#include "rig.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGES	1024
#define THREADS 3

enum {
	SOURCE, /* what the source has */
	WRITTEN,
	REMOVED
};

static struct rig r;
static unsigned char kind[PAGES];
static atomic_bool stop;
static atomic_ullong done;
static int pager_fd = -1, guest_file_fd = -1;
static int from_child[2];

/* ---- the server, a child
 */

static void send_fds(int a, int b)
{
	int fd[2] = {a, b};

	CHECK(write(from_child[1], fd, sizeof(fd)) == sizeof(fd));
}

/* It has the same descriptors as we have, up to those it opens: ours are found by /proc. */
static void server(bool first)
{
	struct engine_options o = {.file = first ? -1 : pager_fd};
	struct fake *f = fake_new(PAGES * PAGE, 16384, rand() & 1);
	struct guest *g;
	int err;

	signal(SIGALRM, SIG_DFL);
	atomic_store(&f->delay_us, (unsigned)rand() % 200);
	CHECK(!engine_new(&o, &r.e));
	CHECK(!engine_add_source(r.e, &f->s));
	r.config.source = &f->s;
	r.config.uffd = r.uffd;
	r.config.region = r.region;
	r.config.nregions = first ? 1 : 0;
	r.config.no_prefetch = rand() & 1;
	err = first ? guest_attach(r.e, &r.config, &g, r.why, sizeof(r.why))
		    : guest_adopt(r.e, &r.config, guest_file_fd, &g, r.why, sizeof(r.why));
	if (err)
		fprintf(stderr, "%s\n", r.why);
	CHECK(!err);
	if (first)
		send_fds(engine_file(r.e), guest_fd(g));
	else
		send_fds(-1, -1);
	engine_run(r.e);
	_exit(0);
}

static pid_t start(bool first)
{
	pid_t pid = fork();
	int fd[2];

	CHECK(pid >= 0);
	if (!pid)
		server(first);
	CHECK(read(from_child[0], fd, sizeof(fd)) == sizeof(fd));
	if (first) {
		char path[64];

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd[0]);
		pager_fd = open(path, O_RDWR | O_CLOEXEC);
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd[1]);
		guest_file_fd = open(path, O_RDWR | O_CLOEXEC);
		CHECK(pager_fd >= 0 && guest_file_fd >= 0);
	}
	return pid;
}

/* ---- the guest
 */

static void check(size_t i)
{
	const char *p = r.mem + i * PAGE;

	if (kind[i] == SOURCE) {
		CHECK(!fake_check(r.fake, i * PAGE, p));
	} else if (kind[i] == WRITTEN) {
		CHECK(*(const uint64_t *)p == i + 1);
	} else {
		for (size_t at = 0; at < PAGE / 8; at++)
			CHECK(((const uint64_t *)p)[at] == 0);
	}
}

/* Each thread has pages of its own. */
static void *guest(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg, me = seed;

	while (!atomic_load(&stop)) {
		size_t i = (size_t)rand_r(&seed) % (PAGES / THREADS) * THREADS + me;
		unsigned what = (unsigned)rand_r(&seed) % 8;

		if (what == 0) {
			CHECK(!madvise(r.mem + i * PAGE, PAGE, MADV_DONTNEED));
			kind[i] = REMOVED;
		} else if (what == 1) {
			*(uint64_t *)(r.mem + i * PAGE) = i + 1;
			kind[i] = WRITTEN;
		}
		check(i);
		atomic_fetch_add(&done, 1);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned kills = argc > 1 ? (unsigned)atoi(argv[1]) : 60, rounds;
	uint64_t longest = 0;
	pthread_t t[THREADS];
	pid_t pid;

	rig_need_uffd();
	CHECK(!pipe2(from_child, O_CLOEXEC));
	srand((unsigned)time(NULL));
	for (rounds = 0; rounds < 4; rounds++) {
		rig_init(&r, fake_new(PAGES * PAGE, 16384, false), PAGES * PAGE);
		memset(kind, SOURCE, sizeof(kind));
		r.mem = mmap(NULL, r.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			     0);
		CHECK(!madvise(r.mem, r.len, MADV_NOHUGEPAGE) &&
		      !madvise(r.mem, r.len, MADV_DONTFORK));
		r.uffd = rig_uffd(UF_FEATURE_EVENT_REMOVE | UF_FEATURE_EVENT_UNMAP |
				  UF_FEATURE_THREAD_ID);
		rig_register(r.uffd, r.mem, r.len, UF_REGISTER_MODE_MISSING);
		r.region[0] = (struct guest_region){
			.addr = (uintptr_t)r.mem, .size = r.len, .page_size = PAGE};
		pid = start(true);
		atomic_store(&stop, false);
		for (uintptr_t i = 0; i < THREADS; i++)
			CHECK(!pthread_create(&t[i], NULL, guest, (void *)i));
		for (unsigned i = 0; i < kills / 4; i++) {
			uint64_t before = atomic_load(&done), begun;

			/* At a random moment of its work, or of its beginning. */
			if (i % 3) {
				rig_until(atomic_load(&done) > before + (unsigned)rand() % 300);
			}
			CHECK(!kill(pid, SIGKILL));
			CHECK(waitpid(pid, NULL, 0) == pid);
			before = atomic_load(&done);
			begun = rig_ms();
			pid = start(false);
			if (i % 3) {
				rig_until(atomic_load(&done) > before + THREADS);
				if (rig_ms() - begun > longest)
					longest = rig_ms() - begun;
			}
		}
		atomic_store(&stop, true);
		for (unsigned i = 0; i < THREADS; i++)
			pthread_join(t[i], NULL);
		for (size_t i = 0; i < PAGES; i++)
			check(i);
		/* Our duplicate first: who unmaps would wait for it to be read. */
		CHECK(!kill(pid, SIGKILL));
		CHECK(waitpid(pid, NULL, 0) == pid);
		close(r.uffd);
		close(pager_fd);
		close(guest_file_fd);
		munmap(r.mem, r.len);
		source_close(&r.fake->s);
	}
	fprintf(stderr, "%u kills, %llu accesses, longest pause %llu ms\n", kills,
		(unsigned long long)atomic_load(&done), (unsigned long long)longest);
	return 0;
}
