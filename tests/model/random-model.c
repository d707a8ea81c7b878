/* SPDX-License-Identifier: MIT */
/*
 * Random fills, writes through both mappings, truncations, holes, page-outs and restarts on three
 * kinds of memory, each compared with a plain model: no byte may be lost. It knows nothing of
 * Userfault and runs on the kernel as it is.
 *
 *   random-model [--operations N] [--seed N] [--threads N] [--restarts N]
 *
 * A thread works on regions of its own; another resolves their faults. The model is a memory file,
 * which survives the restarts (exec) together with the files that are mapped.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../abi/uffd_abi.h"

#define PG	    4096ul
#define PAGES	    96u
#define THREADS_MAX 8
#define MISSING	    UFFDIO_REGISTER_MODE_MISSING
#define WP	    UFFDIO_REGISTER_MODE_WP
#define MINOR	    UFFDIO_REGISTER_MODE_MINOR

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

enum kind {
	ANON,
	SHARED,	 /* a shared mapping of a file */
	PRIVATE, /* a private one */
	KINDS
};

/*
 * Of anonymous memory: is the page there? Else: does the file have it? A page of zeroes that nobody
 * has written may go whenever memory is to be had.
 */
enum there {
	NO,
	YES,
	PERHAPS,
};

/* What every page must contain. A file's pages and private copies of them are separate. */
struct region_model {
	enum there there[PAGES];
	bool copied[PAGES];
	char page[PAGES][PG];
	char copy[PAGES][PG];
	uint64_t size; /* of the file, pages */
};

struct thread_model {
	uint64_t random;
	struct region_model region[KINDS];
};

struct model {
	uint64_t operations, done; /* per thread */
	uint64_t restarts, threads;
	int file[THREADS_MAX][KINDS];
	struct thread_model thread[THREADS_MAX];
};

static struct model *model;
static int model_fd;

struct region {
	enum kind kind;
	int file;
	char *map;  /* the registered mapping */
	char *view; /* another one of the file, which is not */
	uint64_t modes;
	struct region_model *model;
};

struct worker {
	struct thread_model *model;
	struct region region[KINDS];
	int uffd, stop[2];
	pthread_mutex_t
		handling; /* held from reading a message until the model says what came of it */
	pthread_t thread, handler;
	uint64_t done;
};

#define DIE(...)                                                                                   \
	do {                                                                                       \
		fprintf(stderr, __VA_ARGS__);                                                      \
		fputc('\n', stderr);                                                               \
		_exit(1);                                                                          \
	} while (0)

static uint64_t next_random(struct thread_model *t)
{
	uint64_t x = t->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return t->random = x;
}

static uint64_t below(struct thread_model *t, uint64_t n)
{
	return (next_random(t) >> 11) % n;
}

static bool one_in(struct thread_model *t, uint64_t n)
{
	return below(t, n) == 0;
}

static void pattern(struct thread_model *t, char *page)
{
	uint64_t word = next_random(t);

	for (unsigned i = 0; i < PG; i += 8, word = word * 6364136223846793005ull + 1)
		memcpy(page + i, &word, 8);
}

/* ---- What a page contains ----------------------------------------------------------------------
 */

/* Does a touch through the registered mapping find something without a MISSING fault? */
static enum there found(const struct region *r, uint64_t p)
{
	return r->kind == PRIVATE && r->model->copied[p] ? YES : r->model->there[p];
}

/* Somebody read the page whom nobody asked about. */
static void seen(const struct region *r, uint64_t p)
{
	if (r->model->there[p] == NO)
		r->model->there[p] = r->kind == ANON ? YES : PERHAPS;
}

static char *contents(const struct region *r, uint64_t p)
{
	return r->kind == PRIVATE && r->model->copied[p] ? r->model->copy[p] : r->model->page[p];
}

/* The handler, or COPY and ZEROPAGE, gave the page these contents. */
static void filled(const struct region *r, uint64_t p, const char *page)
{
	char *to = r->kind == PRIVATE ? r->model->copy[p] : r->model->page[p];

	if (page)
		memcpy(to, page, PG);
	else
		memset(to, 0, PG);
	if (r->kind == PRIVATE)
		r->model->copied[p] = true;
	else
		r->model->there[p] = YES;
}

/* A write through the registered mapping: a private mapping copies first. */
static char *writable(const struct region *r, uint64_t p)
{
	if (r->kind == PRIVATE && !r->model->copied[p])
		filled(r, p, r->model->page[p]);
	if (r->kind != PRIVATE)
		r->model->there[p] = YES;
	return contents(r, p);
}

static void drop_page(const struct region *r, uint64_t p)
{
	r->model->there[p] = NO;
	memset(r->model->page[p], 0, PG);
}

/* ---- userfaultfd ------------------------------------------------------------------------------
 */

static void open_uffd(struct worker *w)
{
	struct uffdio_api api = {.api = UFFD_API};

	w->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (w->uffd < 0) {
		fprintf(stderr, "userfaultfd: %s\n", strerror(errno));
		_exit(77);
	}
	if (ioctl(w->uffd, UFFDIO_API, &api) != 0)
		DIE("UFFDIO_API: %s", strerror(errno));
}

static void register_region(struct worker *w, struct region *r)
{
	struct uffdio_register reg = {.range = {(uintptr_t)r->map, PAGES * PG}};

	r->modes = MISSING | (one_in(w->model, 2) ? WP : 0);
	if (r->kind != ANON && one_in(w->model, 2))
		r->modes |= MINOR;
	reg.mode = r->modes;
	if (ioctl(w->uffd, UFFDIO_REGISTER, &reg) != 0)
		DIE("REGISTER of kind %d: %s", r->kind, strerror(errno));
}

static void unregister_region(struct worker *w, struct region *r)
{
	struct uffdio_range range = {(uintptr_t)r->map, PAGES * PG};

	if (ioctl(w->uffd, UFFDIO_UNREGISTER, &range) != 0)
		DIE("UNREGISTER: %s", strerror(errno));
}

static struct region *region_at(struct worker *w, uint64_t addr)
{
	for (unsigned k = 0; k < KINDS; k++) {
		struct region *r = &w->region[k];

		if (addr - (uintptr_t)r->map < PAGES * PG)
			return r;
	}
	DIE("a message for %#lx, where nothing is registered", (unsigned long)addr);
}

static void wake(struct worker *w, uint64_t addr)
{
	struct uffdio_range range = {addr, PG};

	if (ioctl(w->uffd, UFFDIO_WAKE, &range) != 0)
		DIE("WAKE: %s", strerror(errno));
}

/* Nobody is woken: who waits goes on when the model is as it should be. */
static int copy(struct worker *w, struct region *r, uint64_t p, const char *from, bool wp)
{
	struct uffdio_copy c = {.dst = (uintptr_t)r->map + p * PG,
				.src = (uintptr_t)from,
				.len = PG,
				.mode = UFFDIO_COPY_MODE_DONTWAKE |
					(wp && (r->modes & WP) ? UFFDIO_COPY_MODE_WP : 0)};

	return ioctl(w->uffd, UFFDIO_COPY, &c) == 0 ? 0 : errno;
}

static int zero(struct worker *w, struct region *r, uint64_t p)
{
	struct uffdio_zeropage z = {.range = {(uintptr_t)r->map + p * PG, PG},
				    .mode = UFFDIO_ZEROPAGE_MODE_DONTWAKE};

	return ioctl(w->uffd, UFFDIO_ZEROPAGE, &z) == 0 ? 0 : errno;
}

static void protect(struct worker *w, struct region *r, uint64_t p, uint64_t n, bool on)
{
	struct uffdio_writeprotect wp = {.range = {(uintptr_t)r->map + p * PG, n * PG},
					 .mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0};

	if (ioctl(w->uffd, UFFDIO_WRITEPROTECT, &wp) != 0)
		DIE("WRITEPROTECT: %s", strerror(errno));
}

/*
 * The kernel's zero page is no private copy: a hole punched into the file takes it away, too. And a
 * private mapping's write-protection marker is in its way.
 */
static bool zeroable(const struct region *r)
{
	return r->kind == SHARED || (r->kind == ANON && !(r->modes & WP));
}

/* ---- The handler: the thread that faulted waits, so the model is the handler's meanwhile -------
 */

static void on_missing(struct worker *w, struct region *r, uint64_t p)
{
	char page[PG];
	int err;

	if (found(r, p) == YES)
		DIE("kind %d: page %lu is missing, and should not be", r->kind, (unsigned long)p);
	if (zeroable(r) && one_in(w->model, 4)) {
		err = zero(w, r, p);
		if (!err)
			filled(r, p, NULL);
	} else {
		pattern(w->model, page);
		err = copy(w, r, p, page, one_in(w->model, 3));
		if (!err)
			filled(r, p, page);
	}
	if (err)
		DIE("kind %d: filling missing page %lu: %s", r->kind, (unsigned long)p,
		    strerror(err));
}

static void on_minor(struct worker *w, struct region *r, uint64_t p)
{
	struct uffdio_zeropage c = {.range = {(uintptr_t)r->map + p * PG, PG}};

	if (r->model->there[p] == NO)
		DIE("kind %d: a minor fault on page %lu, which the file has not", r->kind,
		    (unsigned long)p);
	if (ioctl(w->uffd, UFFDIO_CONTINUE, &c) != 0)
		DIE("CONTINUE: %s", strerror(errno));
}

static void on_message(struct worker *w, const struct uffd_msg *msg)
{
	uint64_t addr = msg->pagefault.address & -PG, flags = msg->pagefault.flags;
	struct region *r = region_at(w, addr);
	uint64_t p = (addr - (uintptr_t)r->map) / PG;

	if (msg->event != UFFD_EVENT_PAGEFAULT)
		DIE("event %d", msg->event);
	if (flags & UFFD_PAGEFAULT_FLAG_WP)
		protect(w, r, p, 1, false);
	else if (flags & UFFD_PAGEFAULT_FLAG_MINOR)
		on_minor(w, r, p);
	else
		on_missing(w, r, p);
	wake(w, addr);
}

static void *handle(void *arg)
{
	struct worker *w = arg;
	struct pollfd fd[2] = {{w->uffd, POLLIN, 0}, {w->stop[0], POLLIN, 0}};
	struct uffd_msg msg;

	while (poll(fd, 2, -1) >= 0 || errno == EINTR) {
		if (fd[1].revents)
			return NULL;
		pthread_mutex_lock(&w->handling);
		while (read(w->uffd, &msg, sizeof msg) == sizeof msg)
			on_message(w, &msg);
		pthread_mutex_unlock(&w->handling);
	}
	return NULL;
}

/* ---- Operations --------------------------------------------------------------------------------
 */

/* Can the page be touched at all? Beyond its end a file has none. */
static bool inside(const struct region *r, uint64_t p)
{
	return r->kind == ANON || p < r->model->size;
}

static void check_page(const struct region *r, uint64_t p, const char *what, const char *seen,
		       const char *want)
{
	if (memcmp(seen, want, PG) == 0)
		return;
	for (unsigned i = 0; i < PG; i++)
		if (seen[i] != want[i])
			DIE("kind %d, page %lu, byte %u %s: %#x, not %#x", r->kind,
			    (unsigned long)p, i, what, seen[i] & 0xff, want[i] & 0xff);
}

/*
 * It may fault, and then the handler changes the model. The access can go on as soon as the page is
 * there: the handler need not be done by then.
 */
static void touch(struct worker *w, const struct region *r, uint64_t p)
{
	(void)*(volatile char *)(r->map + p * PG);
	pthread_mutex_lock(&w->handling);
	pthread_mutex_unlock(&w->handling);
}

static void op_read(struct worker *w, struct region *r, uint64_t p)
{
	touch(w, r, p);
	if (found(r, p) == NO)
		DIE("kind %d: reading page %lu asked nobody", r->kind, (unsigned long)p);
	check_page(r, p, "read", r->map + p * PG, contents(r, p));
}

static void op_write(struct worker *w, struct region *r, uint64_t p)
{
	uint64_t at = below(w->model, PG / 8) * 8, value = next_random(w->model);

	touch(w, r, p);
	memcpy(writable(r, p) + at, &value, 8);
	*(volatile uint64_t *)(r->map + p * PG + at) = value;
}

/* The other mapping, which nobody is asked about: what is not there becomes a page of zeroes. */
static void op_view(struct worker *w, struct region *r, uint64_t p)
{
	uint64_t at = below(w->model, PG / 8) * 8, value = next_random(w->model);

	check_page(r, p, "through the other mapping", r->view + p * PG, r->model->page[p]);
	seen(r, p);
	if (one_in(w->model, 2)) {
		r->model->there[p] = YES;
		memcpy(r->view + p * PG + at, &value, 8);
		memcpy(r->model->page[p] + at, &value, 8);
	}
}

static void op_file(struct worker *w, struct region *r, uint64_t p)
{
	char page[PG];

	if (one_in(w->model, 2)) {
		if (pread(r->file, page, PG, (off_t)(p * PG)) != (ssize_t)PG)
			DIE("pread: %s", strerror(errno));
		check_page(r, p, "by pread", page, r->model->page[p]);
		return;
	}
	pattern(w->model, page);
	if (pwrite(r->file, page, PG, (off_t)(p * PG)) != (ssize_t)PG)
		DIE("pwrite: %s", strerror(errno));
	memcpy(r->model->page[p], page, PG);
	r->model->there[p] = YES;
}

/*
 * Whether the entry of a private mapping is empty cannot be told from the model alone: after a
 * touch without a copy it shows the file's page. So EEXIST is expected where something is found.
 */
static void op_fill(struct worker *w, struct region *r, uint64_t p)
{
	bool zeroes = zeroable(r) && one_in(w->model, 3);
	char page[PG];
	int err;

	pattern(w->model, page);
	err = zeroes ? zero(w, r, p) : copy(w, r, p, page, one_in(w->model, 3));
	if (err == 0) {
		if (r->kind == PRIVATE ? r->model->copied[p] : r->model->there[p] == YES)
			DIE("kind %d: page %lu filled over", r->kind, (unsigned long)p);
		filled(r, p, zeroes ? NULL : page);
	} else if (err != EEXIST) {
		DIE("kind %d: filling page %lu: %s", r->kind, (unsigned long)p, strerror(err));
	} else if (found(r, p) == NO) {
		DIE("kind %d: page %lu is there, and should not be", r->kind, (unsigned long)p);
	}
}

static void op_protect(struct worker *w, struct region *r, uint64_t p)
{
	uint64_t n = 1 + below(w->model, PAGES - p);

	if (r->modes & WP)
		protect(w, r, p, n, one_in(w->model, 2));
}

static void op_forget(struct worker *w, struct region *r, uint64_t p)
{
	uint64_t n = 1 + below(w->model, PAGES - p < 8 ? PAGES - p : 8);

	if (madvise(r->map + p * PG, n * PG, MADV_DONTNEED) != 0)
		DIE("MADV_DONTNEED: %s", strerror(errno));
	for (uint64_t i = p; i < p + n; i++) {
		r->model->copied[i] = false;
		if (r->kind == ANON)
			drop_page(r, i);
	}
}

static void op_pageout(struct worker *w, struct region *r, uint64_t p)
{
	uint64_t n = 1 + below(w->model, PAGES - p);

	if (madvise(r->map + p * PG, n * PG, MADV_PAGEOUT) != 0)
		DIE("MADV_PAGEOUT: %s", strerror(errno));
}

static void op_punch(struct worker *w, struct region *r, uint64_t p)
{
	uint64_t n = 1 + below(w->model, PAGES - p < 8 ? PAGES - p : 8);
	int err;

	if (r->kind == SHARED && one_in(w->model, 2))
		err = madvise(r->map + p * PG, n * PG, MADV_REMOVE);
	else
		err = fallocate(r->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				(off_t)(p * PG), (off_t)(n * PG));
	if (err)
		DIE("punching a hole: %s", strerror(errno));
	for (uint64_t i = p; i < p + n; i++)
		drop_page(r, i);
}

static void op_truncate(struct worker *w, struct region *r)
{
	uint64_t size = one_in(w->model, 2) ? PAGES : 1 + below(w->model, PAGES);

	if (ftruncate(r->file, (off_t)(size * PG)) != 0)
		DIE("ftruncate: %s", strerror(errno));
	for (uint64_t i = size; i < r->model->size; i++) {
		drop_page(r, i);
		r->model->copied[i] = false;
	}
	r->model->size = size;
}

static void op_register(struct worker *w, struct region *r)
{
	unregister_region(w, r);
	/* Nobody is asked now: what is not there becomes a page of zeroes. */
	for (uint64_t p = below(w->model, 8); p < PAGES; p += 1 + below(w->model, 32)) {
		if (!inside(r, p))
			break;
		check_page(r, p, "while not registered", r->map + p * PG, contents(r, p));
		if (!(r->kind == PRIVATE && r->model->copied[p]))
			seen(r, p);
	}
	register_region(w, r);
}

static void operate(struct worker *w)
{
	struct region *r = &w->region[below(w->model, KINDS)];
	uint64_t p = below(w->model, PAGES), what = below(w->model, 1000);

	if (what < 5) {
		op_register(w, r);
	} else if (what < 10) {
		if (r->kind != ANON)
			op_truncate(w, r);
	} else if (what < 30) {
		op_forget(w, r, p);
	} else if (what < 50) {
		op_pageout(w, r, p);
	} else if (what < 70) {
		op_protect(w, r, p);
	} else if (!inside(r, p)) {
		return;
	} else if (what < 90) {
		if (r->kind != ANON)
			op_punch(w, r, p);
	} else if (what < 200) {
		op_fill(w, r, p);
	} else if (what < 300) {
		if (r->kind != ANON)
			op_view(w, r, p);
	} else if (what < 380) {
		if (r->kind != ANON)
			op_file(w, r, p);
	} else if (what < 650) {
		op_read(w, r, p);
	} else {
		op_write(w, r, p);
	}
}

/* ---- Starting, ending, starting again ----------------------------------------------------------
 */

static char *map_region(int flags, int fd)
{
	char *p = mmap(NULL, PAGES * PG, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (p == MAP_FAILED)
		DIE("mmap: %s", strerror(errno));
	return p;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	open_uffd(w);
	if (pipe2(w->stop, O_CLOEXEC) != 0)
		DIE("pipe: %s", strerror(errno));
	for (unsigned k = 0; k < KINDS; k++)
		register_region(w, &w->region[k]);
	if (pthread_create(&w->handler, NULL, handle, w) != 0)
		DIE("pthread_create");
	while (w->done < model->operations / (model->restarts + 1)) {
		operate(w);
		w->done++;
	}
	for (unsigned k = 0; k < KINDS; k++)
		for (uint64_t p = 0; p < PAGES; p++)
			if (inside(&w->region[k], p))
				op_read(w, &w->region[k], p);
	if (write(w->stop[1], "", 1) != 1 || pthread_join(w->handler, NULL) != 0)
		DIE("ending the handler: %s", strerror(errno));
	close(w->uffd);
	return NULL;
}

/* After a restart the files are as they were; anonymous memory and private copies are new. */
static void begin(struct worker *w, unsigned i)
{
	w->model = &model->thread[i];
	pthread_mutex_init(&w->handling, NULL);
	for (unsigned k = 0; k < KINDS; k++) {
		struct region *r = &w->region[k];

		r->kind = k;
		r->file = model->file[i][k];
		r->model = &w->model->region[k];
		for (uint64_t p = 0; p < PAGES; p++) {
			r->model->copied[p] = false;
			if (k == ANON)
				drop_page(r, p);
		}
		r->map = map_region(k == ANON	  ? MAP_PRIVATE | MAP_ANONYMOUS
				    : k == SHARED ? MAP_SHARED
						  : MAP_PRIVATE,
				    r->file);
		r->view = k == ANON ? NULL : map_region(MAP_SHARED, r->file);
	}
	if (pthread_create(&w->thread, NULL, work, w) != 0)
		DIE("pthread_create");
}

static void map_model(void)
{
	model = mmap(NULL, sizeof *model, PROT_READ | PROT_WRITE, MAP_SHARED, model_fd, 0);
	if (model == MAP_FAILED)
		DIE("mapping the model: %s", strerror(errno));
}

static int memory_file(uint64_t size)
{
	int fd = memfd_create("random-model", 0);

	if (fd < 0 || ftruncate(fd, (off_t)size) != 0)
		DIE("memfd: %s", strerror(errno));
	return fd;
}

static void prepare(uint64_t operations, uint64_t seed, uint64_t threads, uint64_t restarts)
{
	model_fd = memory_file(sizeof *model);
	map_model();
	model->threads = threads;
	model->restarts = restarts;
	model->operations = operations / threads;
	for (unsigned i = 0; i < threads; i++) {
		model->thread[i].random = (seed + i) * 0x9e3779b97f4a7c15ull | 1;
		model->file[i][ANON] = -1;
		for (unsigned k = SHARED; k < KINDS; k++) {
			model->file[i][k] = memory_file(PAGES * PG);
			model->thread[i].region[k].size = PAGES;
		}
	}
}

static uint64_t number(const char *word)
{
	char *end;
	uint64_t n = strtoull(word, &end, 0);

	if (*end || end == word)
		DIE("%s is not a number", word);
	return n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"operations", required_argument, NULL, 'o'},
		{"seed", required_argument, NULL, 's'},
		{"threads", required_argument, NULL, 't'},
		{"restarts", required_argument, NULL, 'r'},
		{"model", required_argument, NULL, 'm'},
		{0},
	};
	static struct worker worker[THREADS_MAX];
	uint64_t operations = 100000, seed = 1, threads = 2, restarts = 2;
	char word[32];
	int o;

	model_fd = -1;
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == 'o')
			operations = number(optarg);
		else if (o == 's')
			seed = number(optarg);
		else if (o == 't')
			threads = number(optarg);
		else if (o == 'r')
			restarts = number(optarg);
		else if (o == 'm')
			model_fd = (int)number(optarg);
		else
			return 2;
	}
	if (threads < 1 || threads > THREADS_MAX)
		DIE("1 to %d threads", THREADS_MAX);
	if (model_fd < 0)
		prepare(operations, seed, threads, restarts);
	else
		map_model();
	for (unsigned i = 0; i < model->threads; i++)
		begin(&worker[i], i);
	for (unsigned i = 0; i < model->threads; i++)
		pthread_join(worker[i].thread, NULL);
	if (model->done++ < model->restarts) {
		snprintf(word, sizeof word, "%d", model_fd);
		execl("/proc/self/exe", argv[0], "--model", word, (char *)NULL);
		DIE("exec: %s", strerror(errno));
	}
	printf("%lu operations, %lu restarts: no byte lost\n",
	       (unsigned long)(model->operations * model->threads), (unsigned long)model->restarts);
	return 0;
}
