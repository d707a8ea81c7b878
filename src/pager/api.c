/*
 * api.c - the library's entry points: an engine with a thread of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pager/api.h"
#include "pager/internal.h"
#include "pager/library.h"

#define WHY 256

/* ---- calls that run on the pager's thread
 */

struct call {
	int (*fn)(void *arg);
	void *arg;
	int result;
	sem_t done;
};

static void call_run(void *arg)
{
	struct call *c = arg;

	c->result = c->fn(c->arg);
	sem_post(&c->done);
}

int pager_call(struct uf_pager *pager, int (*fn)(void *arg), void *arg)
{
	struct call c = {.fn = fn, .arg = arg};
	int err;

	sem_init(&c.done, 0, 0);
	err = engine_post(pager->e, call_run, &c);
	if (!err) {
		while (sem_wait(&c.done))
			;
		err = c.result;
	}
	sem_destroy(&c.done);
	return err;
}

/* Before a call that was too early is made again. */
static void again_soon(void)
{
	nanosleep(&(struct timespec){.tv_nsec = NS_PER_MS}, NULL);
}

/* ---- a pager
 */

static void say(void *arg, enum engine_log level, const char *text)
{
	struct uf_pager *p = arg;

	if (level > ENGINE_INFO)
		return;
	if (p->log)
		p->log(p->log_arg, (int)level, text);
	else if (level == ENGINE_ERROR)
		fprintf(stderr, "userfault: %s\n", text);
}

static void *pager_main(void *arg)
{
	struct uf_pager *p = arg;

	engine_run(p->e);
	return NULL;
}

/* Options of a newer or older header: what it does not have is 0; what we do not know has to be. */
static int take_options(void *to, size_t size, const void *from, const char *what)
{
	size_t theirs;

	memset(to, 0, size);
	if (!from)
		return 0;
	memcpy(&theirs, from, sizeof(theirs));
	if (theirs < sizeof(theirs) || theirs > 4096)
		return library_fail(-EINVAL, "the size in the %s options is %zu", what, theirs);
	for (size_t i = size; i < theirs; i++) {
		if (((const char *)from)[i])
			return library_fail(-EINVAL, "the %s options have one that is not known",
					    what);
	}
	memcpy(to, from, theirs < size ? theirs : size);
	return 0;
}

#define TRACE_RECORDS (4u << 20)

static int trace_begin(struct uf_pager *p, const char *path)
{
	struct timespec mono, real;

	p->trace_size = sizeof(struct trace_header) + TRACE_RECORDS * sizeof(struct trace_record);
	p->trace_fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (p->trace_fd < 0 || ftruncate(p->trace_fd, (off_t)p->trace_size))
		return library_fail(-errno, "%s: %s", path, strerror(errno));
	p->trace = mmap(NULL, p->trace_size, PROT_READ | PROT_WRITE, MAP_SHARED, p->trace_fd, 0);
	if (p->trace == MAP_FAILED) {
		p->trace = NULL;
		return library_fail(-errno, "%s: %s", path, strerror(errno));
	}
	clock_gettime(CLOCK_MONOTONIC, &mono);
	clock_gettime(CLOCK_REALTIME, &real);
	p->trace->header.version = TRACE_VERSION;
	p->trace->header.record_size = sizeof(struct trace_record);
	p->trace->header.capacity = TRACE_RECORDS;
	p->trace->header.mono_ns = (uint64_t)mono.tv_sec * NS_PER_S + (uint64_t)mono.tv_nsec;
	p->trace->header.real_ns = (uint64_t)real.tv_sec * NS_PER_S + (uint64_t)real.tv_nsec;
	p->trace->header.origin = TRACE_OF_PAGER;
	p->trace->header.page_size = PAGE_4K;
	snprintf(p->trace->header.program, sizeof(p->trace->header.program), "%s",
		 program_invocation_short_name);
	p->trace->header.magic = TRACE_MAGIC;
	return 0;
}

static void trace_finish_file(struct uf_pager *p)
{
	uint64_t n;

	if (p->trace) {
		n = atomic_load(&p->trace->header.count);
		n = n < TRACE_RECORDS ? n : TRACE_RECORDS;
		munmap(p->trace, p->trace_size);
		if (ftruncate(p->trace_fd, (off_t)(sizeof(struct trace_header) +
						   n * sizeof(struct trace_record))))
			say(p, ENGINE_ERROR, "the trace cannot be cut to its length");
	}
	if (p->trace_fd >= 0)
		close(p->trace_fd);
}

static void pager_free(struct uf_pager *p)
{
	if (p->e)
		engine_free(p->e);
	for (struct uf_source *s = p->sources, *next; s; s = next) {
		next = s->next;
		free(s);
	}
	trace_finish_file(p);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

int uf_pager_new(const struct uf_pager_options *options, struct uf_pager **pager)
{
	struct uf_pager_options o;
	struct engine_options eo = {.file = -1};
	struct uf_pager *p;
	int err = take_options(&o, sizeof(o), options, "pager's");

	if (err)
		return err;
	if (o.on_failure > UF_PAGER_WAIT)
		return library_fail(-EINVAL,
				    "on_failure is none of UF_PAGER_POISON, KILL and WAIT");
	p = calloc(1, sizeof(*p));
	if (!p)
		return library_fail(-ENOMEM, "there is no memory left");
	p->trace_fd = -1;
	pthread_mutex_init(&p->lock, NULL);
	p->log = o.log;
	p->log_arg = o.log_arg;
	err = o.trace ? trace_begin(p, o.trace) : 0;
	if (err) {
		pager_free(p);
		return err;
	}
	eo.name = o.name ? o.name : program_invocation_short_name;
	eo.in_flight = o.in_flight;
	eo.cache = o.cache;
	eo.bandwidth = o.bandwidth;
	eo.deadline_ms = o.deadline_ms;
	eo.on_failure = (enum engine_failure)o.on_failure;
	eo.trace = p->trace;
	eo.hooks.log = say;
	eo.hooks.arg = p;
	err = engine_new(&eo, &p->e);
	if (!err)
		err = library_thread(&p->thread, pager_main, p);
	if (err) {
		pager_free(p);
		return library_fail(err, "the pager cannot be started: %s", strerror(-err));
	}
	*pager = p;
	return 0;
}

void uf_pager_free(struct uf_pager *pager)
{
	if (!pager)
		return;
	/* What is still mapped without being served would read as zeros. */
	while (pager->paged)
		uf_pager_detach(pager->paged);
	engine_stop(pager->e);
	pthread_join(pager->thread, NULL);
	pager_free(pager);
}

/* ---- sources
 */

static int add_source(void *arg)
{
	struct uf_source *s = arg;

	return engine_add_source(s->pager->e, s->s);
}

int pager_source(struct uf_pager *pager, struct source *s, struct uf_source **out)
{
	struct uf_source *u = calloc(1, sizeof(*u));
	int err = u ? 0 : -ENOMEM;

	if (u) {
		u->pager = pager;
		u->s = s;
		err = pager_call(pager, add_source, u);
	}
	if (err) {
		source_close(s);
		free(u);
		return library_fail(err, "the source cannot be used: %s", strerror(-err));
	}
	pthread_mutex_lock(&pager->lock);
	u->next = pager->sources;
	pager->sources = u;
	pthread_mutex_unlock(&pager->lock);
	*out = u;
	return 0;
}

int uf_source_open(struct uf_pager *pager, const char *spec, struct uf_source **source)
{
	struct source_env env = {0};
	char why[WHY] = "";
	struct source *s;
	int err = source_open(spec, &env, &s, why, sizeof(why));

	return err ? library_fail(err, "%s: %s", spec, why) : pager_source(pager, s, source);
}

int uf_source_new(struct uf_pager *pager, uint64_t size, uint32_t chunk, unsigned threads,
		  int (*read)(void *arg, uint64_t offset, void *buf, size_t len), void *arg,
		  struct uf_source **source)
{
	struct source *s;
	int err = program_source(size, chunk, threads, read, arg, &s);

	if (err == -EINVAL)
		return library_fail(err,
				    "a source has a size, a function, and chunks of a power of "
				    "two from 4096 to 2097152 bytes");
	return err ? library_fail(err, "the source's threads cannot be started: %s", strerror(-err))
		   : pager_source(pager, s, source);
}

uint64_t uf_source_size(const struct uf_source *source)
{
	return source->s->size;
}

static int close_source(void *arg)
{
	struct uf_source *s = arg;
	struct feed *f = feed_find(s->pager->e, s->s);

	if (s->users || (f && f->guests))
		return -EBUSY;
	/* Not here: whoever waits for another source's pages would wait for it, too. */
	if (f && !feed_quiet(f))
		return -EAGAIN;
	if (f)
		feed_close(f);
	return 0;
}

static void forget_source(struct uf_source *source)
{
	struct uf_source **at = &source->pager->sources;

	pthread_mutex_lock(&source->pager->lock);
	while (*at != source)
		at = &(*at)->next;
	*at = source->next;
	pthread_mutex_unlock(&source->pager->lock);
}

int uf_source_close(struct uf_source *source)
{
	int err;

	if (!source)
		return 0;
	while ((err = pager_call(source->pager, close_source, source)) == -EAGAIN)
		again_soon();
	if (err)
		return library_fail(err, "memory is still filled from the source");
	forget_source(source);
	free(source);
	return 0;
}

/* ---- memory
 */

struct attach {
	struct uf_paged *p;
	struct guest_config config;
	char why[WHY];
};

struct stats_call {
	struct uf_paged *p;
	struct uf_paged_stats *out;
};

static uint64_t counted(const struct guest *g, enum guest_count what)
{
	return atomic_load_explicit(&g->f->count[what], memory_order_relaxed);
}

static int get_stats(void *arg)
{
	struct stats_call *c = arg;
	struct guest *g = c->p->g;

	if (!g) {
		*c->out = c->p->last;
		return 0;
	}
	c->out->faults = counted(g, GUEST_FAULTS);
	c->out->filled = counted(g, GUEST_FILLED_DEMAND) + counted(g, GUEST_FILLED_NEAR) +
			 counted(g, GUEST_FILLED_AHEAD);
	c->out->zeros = counted(g, GUEST_FILLED_ZERO);
	c->out->ahead = counted(g, GUEST_FILLED_AHEAD);
	c->out->evicted = counted(g, GUEST_EVICTED);
	c->out->spilled = counted(g, GUEST_SPILLED);
	c->out->failed = counted(g, GUEST_FAILED);
	c->out->resident = atomic_load_explicit(&g->f->resident, memory_order_relaxed);
	c->out->p50_ns = histogram_quantile(&g->f->latency, 0.5);
	c->out->p99_ns = histogram_quantile(&g->f->latency, 0.99);
	c->out->max_ns = atomic_load_explicit(&g->f->latency.max_ns, memory_order_relaxed);
	return 0;
}

static void waits_end(struct uf_paged *p, int result);

static void settled(struct guest *g, void *arg)
{
	struct uf_paged *p = arg;
	bool failed = g->ahead.lost || atomic_load(&g->f->count[GUEST_FAILED]) != 0;

	if (!g->ending) {
		waits_end(p, failed ? -EIO : 0);
		return;
	}
	get_stats(&(struct stats_call){p, &p->last});
	waits_end(p, -EIO);
	p->source->users--;
	p->g = NULL;
}

static int attach(void *arg)
{
	struct attach *a = arg;
	struct guest *g;
	int err;

	a->config.user = a->p;
	err = guest_attach(a->p->pager->e, &a->config, &g, a->why, sizeof(a->why));
	if (err)
		return err;
	a->p->g = g;
	a->p->source->users++;
	g->settled = settled;
	g->settled_arg = a->p;
	return 0;
}

static int take_paged_options(struct uf_paged_options *o, const struct uf_paged_options *options)
{
	int err = take_options(o, sizeof(*o), options, "memory's");

	if (err)
		return err;
	if (o->flags & ~(UF_PAGED_WRITABLE | UF_PAGED_DEMAND | UF_PAGED_KERNEL | UF_PAGED_OWN))
		return library_fail(-EINVAL, "a flag is not known");
	if ((o->flags & UF_PAGED_KERNEL) && (o->flags & UF_PAGED_OWN))
		return library_fail(-EINVAL, "UF_PAGED_KERNEL and UF_PAGED_OWN exclude each other");
	return 0;
}

static void configure(struct guest_config *c, const struct uf_paged_options *o)
{
	c->name = o->name;
	c->limit = o->limit;
	c->record = o->record;
	c->prefetch = o->prefetch;
	c->no_prefetch = (o->flags & UF_PAGED_DEMAND) || o->record;
	c->readonly = !(o->flags & UF_PAGED_WRITABLE);
	c->spill = o->spill;
	if (!c->spill)
		c->spill = getenv("TMPDIR") && *getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
}

static int open_uffd(const struct uf_paged_options *o, uint64_t *features,
		     const struct uffd_ops **ops)
{
	int fd = -ENOSYS;

	*ops = &uffd_kernel;
	if (!(o->flags & UF_PAGED_OWN))
		fd = uffd_open(*ops, features);
	if (fd < 0 && !(o->flags & UF_PAGED_KERNEL)) {
		*ops = &uffd_own;
		fd = uffd_open(*ops, features);
	}
	return fd;
}

static int map_memory(struct uf_paged *p, int fd, const struct uf_paged_options *o, void *hint)
{
	bool writable = o->flags & UF_PAGED_WRITABLE;
	struct uf_register reg = {.mode = UF_REGISTER_MODE_MISSING};
	int err;

	p->addr = p->ops->mmap(p->len, PROT_READ | (writable ? PROT_WRITE : 0), hint, &err);
	if (p->addr == MAP_FAILED) {
		p->addr = NULL;
		return library_fail(err, "%zu bytes cannot be mapped: %s", p->len, strerror(-err));
	}
	/* A huge page would be here at once, and a child without its pager would read zeros. */
	p->ops->madvise(p->addr, p->len, MADV_NOHUGEPAGE);
	p->ops->madvise(p->addr, p->len, MADV_DONTFORK);
	if (writable && o->limit)
		reg.mode |= UF_REGISTER_MODE_WP;
	reg.range = (struct uf_range){(uintptr_t)p->addr, p->len};
	err = p->ops->ioctl(fd, UF_IO_REGISTER, &reg);
	return err ? library_fail(err, "the memory cannot be registered with a userfaultfd: %s",
				  strerror(-err))
		   : 0;
}

static void remember_paged(struct uf_paged *paged)
{
	pthread_mutex_lock(&paged->pager->lock);
	paged->next = paged->pager->paged;
	paged->pager->paged = paged;
	pthread_mutex_unlock(&paged->pager->lock);
}

static void forget_paged(struct uf_paged *paged)
{
	struct uf_paged **at = &paged->pager->paged;

	pthread_mutex_lock(&paged->pager->lock);
	while (*at != paged)
		at = &(*at)->next;
	*at = paged->next;
	pthread_mutex_unlock(&paged->pager->lock);
}

int pager_not_served(struct uf_pager *pager, const void *addr, size_t len)
{
	uintptr_t begin = (uintptr_t)addr;
	bool served = false;

	pthread_mutex_lock(&pager->lock);
	for (struct uf_paged *p = pager->paged; p; p = p->next) {
		uintptr_t at = (uintptr_t)p->addr;

		served |= at && begin < at + p->len && at < begin + len;
	}
	pthread_mutex_unlock(&pager->lock);
	return served ? library_fail(-EBUSY,
				     "a pager serves this memory; uf_pager_release gives it "
				     "to the program")
		      : 0;
}

static void paged_free(struct uf_paged *p)
{
	if (p->addr)
		p->ops->munmap(p->addr, p->len);
	free(p);
}

int pager_map(struct uf_pager *pager, struct uf_source *source, bool own_source, uint64_t offset,
	      size_t len, const struct uf_paged_options *options, void **addr,
	      struct uf_paged **paged)
{
	struct uf_paged_options o;
	struct guest_region region = {.size = len, .offset = offset, .page_size = PAGE_4K};
	struct attach a = {.config = {.memfd = -1, .pidfd = -1, .own = true}};
	uint64_t features = UF_FEATURE_THREAD_ID;
	struct uf_paged *p;
	int err = take_paged_options(&o, options);

	if (err)
		return err;
	if (!len || len % PAGE_4K || offset % PAGE_4K)
		return library_fail(-EINVAL, "length and offset have to be multiples of 4096");
	p = calloc(1, sizeof(*p));
	if (!p)
		return library_fail(-ENOMEM, "there is no memory left");
	p->pager = pager;
	p->source = source;
	p->len = len;
	a.config.uffd = open_uffd(&o, &features, &p->ops);
	if (a.config.uffd < 0) {
		err = a.config.uffd;
		free(p);
		return library_fail(err, "there is no userfaultfd to be had: %s", strerror(-err));
	}
	err = map_memory(p, a.config.uffd, &o, *addr);
	if (err) {
		p->ops->close(a.config.uffd);
		paged_free(p);
		return err;
	}
	region.addr = (uintptr_t)p->addr;
	a.p = p;
	a.config.source = source->s;
	a.config.ops = p->ops;
	a.config.pid = (uint32_t)getpid();
	a.config.region = &region;
	a.config.nregions = 1;
	configure(&a.config, &o);
	err = pager_call(pager, attach, &a);
	if (err) {
		paged_free(p);
		return library_fail(err, "%s", a.why);
	}
	p->own_source = own_source;
	remember_paged(p);
	*addr = p->addr;
	*paged = p;
	return 0;
}

int uf_pager_map(struct uf_pager *pager, struct uf_source *source, uint64_t offset, size_t len,
		 const struct uf_paged_options *options, void **addr, struct uf_paged **paged)
{
	return pager_map(pager, source, false, offset, len, options, addr, paged);
}

int uf_pager_attach(struct uf_pager *pager, struct uf_source *source, int uffd, int memfd,
		    const struct uf_paged_range *range, size_t ranges,
		    const struct uf_paged_options *options, struct uf_paged **paged)
{
	struct guest_region region[GUEST_REGIONS];
	struct attach a = {.config = {.memfd = -1, .pidfd = -1}};
	struct uf_paged_options o;
	int err = take_paged_options(&o, options);

	if (err)
		return err;
	if (o.limit)
		return library_fail(-EINVAL, "memory of others cannot have a limit");
	if (!ranges || ranges > GUEST_REGIONS)
		return library_fail(-EINVAL, "%zu ranges: there can be 1 to %u", ranges,
				    GUEST_REGIONS);
	for (size_t i = 0; i < ranges; i++)
		region[i] = (struct guest_region){.addr = range[i].addr,
						  .size = range[i].size,
						  .offset = range[i].offset,
						  .page_size = range[i].page_size,
						  .flags = memfd >= 0 ? REGION_MINOR : 0};
	a.config.uffd = fcntl(uffd, F_DUPFD_CLOEXEC, 3);
	if (a.config.uffd < 0)
		return library_fail(-errno, "the userfaultfd: %s", strerror(errno));
	if (memfd >= 0)
		a.config.memfd = fcntl(memfd, F_DUPFD_CLOEXEC, 3);
	a.p = calloc(1, sizeof(*a.p));
	if (!a.p || (memfd >= 0 && a.config.memfd < 0)) {
		err = a.p ? -EBADF : -ENOMEM;
		close(a.config.uffd);
		free(a.p);
		return library_fail(err, "%s", strerror(-err));
	}
	a.p->pager = pager;
	a.p->source = source;
	a.config.source = source->s;
	a.config.region = region;
	a.config.nregions = ranges;
	configure(&a.config, &o);
	err = pager_call(pager, attach, &a);
	if (err) {
		free(a.p);
		return library_fail(err, "%s", a.why);
	}
	remember_paged(a.p);
	*paged = a.p;
	return 0;
}

struct detach {
	struct uf_paged *p;
	int fd;
};

static int detach(void *arg)
{
	struct detach *d = arg;
	struct guest *g = d->p->g;

	d->fd = -1;
	if (!g)
		return 0;
	if (d->p->addr)
		d->fd = fcntl(g->uffd, F_DUPFD_CLOEXEC, 3);
	guest_detach(g, GUEST_DETACHED);
	return 0;
}

/*
 * Threads that wait for the memory are released when its userfaultfd is closed, and would read
 * zeros if the memory were still there.
 */
int uf_pager_detach(struct uf_paged *paged)
{
	struct uf_source *source = paged->source;
	struct detach d = {.p = paged};
	bool own = paged->own_source;

	forget_paged(paged);
	pager_call(paged->pager, detach, &d);
	if (paged->addr)
		paged->ops->munmap(paged->addr, paged->len);
	if (d.fd >= 0)
		paged->ops->close(d.fd);
	free(paged);
	return own ? uf_source_close(source) : 0;
}

/* ---- waiting for all of it
 */

struct wait {
	struct wait *next;
	struct uf_paged *p;
	sem_t done;
	int result;
	bool ended;
};

static void waits_end(struct uf_paged *p, int result)
{
	while (p->waits) {
		struct wait *w = p->waits;

		p->waits = w->next;
		w->result = result;
		w->ended = true;
		sem_post(&w->done);
	}
}

static int wait_begin(void *arg)
{
	struct wait *w = arg;

	if (!w->p->g)
		return -EIO;
	if (w->p->g->evict)
		return -EINVAL;
	w->next = w->p->waits;
	w->p->waits = w;
	ahead_all(w->p->g);
	if (ahead_settled(w->p->g))
		settled(w->p->g, w->p);
	return 0;
}

static int wait_cancel(void *arg)
{
	struct wait *w = arg;

	for (struct wait **at = &w->p->waits; *at; at = &(*at)->next) {
		if (*at == w) {
			*at = w->next;
			break;
		}
	}
	return 0;
}

int uf_pager_wait(struct uf_paged *paged)
{
	struct wait w = {.p = paged};
	int err;

	sem_init(&w.done, 0, 0);
	err = pager_call(paged->pager, wait_begin, &w);
	if (!err && sem_wait(&w.done)) {
		err = -errno;
		pager_call(paged->pager, wait_cancel, &w);
		if (w.ended)
			err = w.result;
	} else if (!err) {
		err = w.result;
	}
	sem_destroy(&w.done);
	if (err == -EINVAL)
		return library_fail(err, "memory with a limit is never there as a whole");
	return err == -EIO ? library_fail(err, "some pages could not be had") : err;
}

/* ---- giving it to the program
 */

static int release(void *arg)
{
	struct uf_paged *p = arg;
	struct guest *g = p->g;
	struct uf_range range = {(uintptr_t)p->addr, p->len};
	int err;

	if (!g)
		return -EIO;
	for (uint64_t i = 0; i < g->f->npages; i++) {
		enum page_state state = page_state(g, i);

		if (state == PAGE_FETCHING)
			return -EAGAIN;
		if (state != PAGE_PRESENT && state != PAGE_REMOVED)
			return -EIO;
	}
	err = p->ops->ioctl(g->uffd, UF_IO_UNREGISTER, &range);
	if (!err)
		guest_detach(g, GUEST_DETACHED);
	return err;
}

int uf_pager_release(struct uf_paged *paged)
{
	struct uf_source *source = paged->source;
	bool own = paged->own_source;
	int err;

	if (!paged->addr)
		return library_fail(-EINVAL,
				    "memory of another process cannot be released to this");
	for (;;) {
		err = uf_pager_wait(paged);
		if (err)
			return err;
		err = pager_call(paged->pager, release, paged);
		if (err != -EAGAIN)
			break;
		/* A page that some thread waits for is on its way. */
		again_soon();
	}
	if (err == -EIO)
		return library_fail(err, "some pages could not be had");
	if (err)
		return library_fail(err, "the memory stays with its userfaultfd: %s",
				    strerror(-err));
	paged->ops->madvise(paged->addr, paged->len, MADV_DOFORK);
	forget_paged(paged);
	free(paged);
	return own ? uf_source_close(source) : 0;
}

/* ---- statistics
 */

void uf_paged_get_stats(struct uf_paged *paged, struct uf_paged_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	pager_call(paged->pager, get_stats, &(struct stats_call){paged, stats});
}
