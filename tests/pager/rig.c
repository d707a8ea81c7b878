/*
 * rig.c - an engine on a thread of the test, and memory of the test that it serves.
 */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

uint64_t rig_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void rig_yield(void)
{
	sched_yield();
}

int rig_uffd(uint64_t features)
{
	struct uf_api api = {.api = UF_API, .features = features};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (ioctl(fd, UF_IO_API, &api)) {
		close(fd);
		return -errno;
	}
	return fd;
}

void rig_need_uffd(void)
{
	int fd = rig_uffd(0);

	if (fd < 0) {
		printf("skipped: no userfaultfd: %s\n", strerror(-fd));
		exit(77);
	}
	close(fd);
}

void rig_register(int uffd, void *mem, size_t len, uint64_t modes)
{
	struct uf_register reg = {.range = {(uintptr_t)mem, len}, .mode = modes};

	CHECK(!ioctl(uffd, UF_IO_REGISTER, &reg));
}

static void say(void *arg, enum engine_log level, const char *text)
{
	struct rig *r = arg;
	size_t n = strlen(r->said);

	(void)level;
	if (r->verbose)
		fprintf(stderr, "engine: %s\n", text);
	snprintf(r->said + n, sizeof(r->said) - n, "%s\n", text);
}

static void ended(void *arg, struct guest *g, enum guest_end why)
{
	struct rig *r = arg;

	if (g == r->g)
		r->g = NULL;
	__atomic_store_n(&r->ended, (int)why, __ATOMIC_SEQ_CST);
}

static void give_up(void *arg, struct guest *g, const char *why)
{
	struct rig *r = arg;

	(void)g;
	(void)why;
	__atomic_add_fetch(&r->given_up, 1, __ATOMIC_SEQ_CST);
}

static void forked(void *arg, struct guest *parent, struct guest *child)
{
	struct rig *r = arg;

	(void)parent;
	(void)child;
	__atomic_add_fetch(&r->forks, 1, __ATOMIC_SEQ_CST);
}

void rig_init(struct rig *r, struct fake *fake, size_t len)
{
	memset(r, 0, sizeof(*r));
	r->verbose = getenv("VERBOSE") != NULL;
	r->fake = fake;
	r->len = len;
	r->page_size = PAGE;
	r->options.file = -1;
	r->options.hooks.log = say;
	r->options.hooks.ended = ended;
	r->options.hooks.give_up = give_up;
	r->options.hooks.forked = forked;
	r->options.hooks.arg = r;
	r->config.uffd = r->config.memfd = r->config.pidfd = -1;
	r->config.no_prefetch = true;
	r->uffd = -1;
}

void *rig_main(void *arg)
{
	struct rig *r = arg;

	CHECK(!engine_run(r->e));
	return NULL;
}

struct call {
	void (*fn)(void *arg);
	void *arg;
	sem_t done;
};

static void call_run(void *arg)
{
	struct call *c = arg;

	c->fn(c->arg);
	sem_post(&c->done);
}

void rig_call(struct rig *r, void (*fn)(void *arg), void *arg)
{
	struct call c = {.fn = fn, .arg = arg};

	sem_init(&c.done, 0, 0);
	CHECK(!engine_post(r->e, call_run, &c));
	while (sem_wait(&c.done))
		;
	sem_destroy(&c.done);
}

static void attach(void *arg)
{
	struct rig *r = arg;
	int err;

	CHECK(!engine_add_source(r->e, &r->fake->s));
	err = guest_attach(r->e, &r->config, &r->g, r->why, sizeof(r->why));
	if (err)
		fprintf(stderr, "attach: %s: %s\n", strerror(-err), r->why);
	CHECK(!err);
}

void rig_begin(struct rig *r)
{
	CHECK(!engine_new(&r->options, &r->e));
	if (!r->mem) {
		r->mem = mmap(NULL, r->len, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		CHECK(r->mem != MAP_FAILED);
		CHECK(!madvise(r->mem, r->len, MADV_NOHUGEPAGE));
	}
	r->uffd = rig_uffd(r->features | UF_FEATURE_THREAD_ID);
	CHECK(r->uffd >= 0);
	rig_register(r->uffd, r->mem, r->len, r->modes ? r->modes : UF_REGISTER_MODE_MISSING);
	if (!r->config.nregions) {
		r->region[0].addr = (uintptr_t)r->mem;
		r->region[0].size = r->len;
		r->region[0].page_size = r->page_size;
		r->config.nregions = 1;
	}
	r->config.region = r->region;
	r->config.uffd = dup(r->uffd);
	r->config.source = &r->fake->s;
	r->config.pid = (uint32_t)getpid();
	CHECK(!pthread_create(&r->thread, NULL, rig_main, r));
	rig_call(r, attach, r);
}

void rig_end(struct rig *r)
{
	engine_stop(r->e);
	pthread_join(r->thread, NULL);
	engine_free(r->e);
	/* First: or nobody is there to read of it. */
	if (r->uffd >= 0)
		close(r->uffd);
	munmap(r->mem, r->len);
}

uint64_t rig_count(struct rig *r, enum guest_count what)
{
	return atomic_load(&guest_shared(r->g)->count[what]);
}

static void *toucher_main(void *arg)
{
	struct toucher *t = arg;

	t->value = *t->at;
	__atomic_store_n(&t->done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

void touch_begin(struct toucher *t, void *at)
{
	t->at = at;
	t->done = false;
	CHECK(!pthread_create(&t->thread, NULL, toucher_main, t));
}

void touch_end(struct toucher *t)
{
	pthread_join(t->thread, NULL);
}
