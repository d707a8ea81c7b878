/*
 * drive.c - does with a source what lines on its standard input say, and answers each with a line:
 *
 *   expect FILE           what the source should contain
 *   open SPEC [NAME=VALUE...]
 *   all [ahead]           fetches everything, as many chunks at a time as the source likes
 *   extents               all of them: zeros must be zeros in FILE
 *   begin N OFFSET LEN [ahead]    0 <= N < 256: a request
 *   cancel N
 *   await N               its outcome, and whether the contents are right
 *   busy MS               demand reads, one by one at random, while all is read ahead; at least MS
 *   repair
 *   close
 *   write SPEC FILE forward|backward|pages      pages: one by one, shuffled; zeros are left out
 *   abandon SPEC FILE     writes, and then gives it up
 *
 *   usage: drive MODULE.so
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "pager/source.h"

#define PATIENCE_MS 60000
#define REQUESTS    256

struct read {
	struct source_request request;
	bool under_way, done;
	int error;
	uint64_t begun, ended; /* us */
};

static const struct source_ops *ops;
static struct source *source;
static const char *expected;
static uint64_t expected_size;
static struct read reads[REQUESTS];
static unsigned under_way;
static bool in_fetch;

static void die(const char *what)
{
	printf("failed: %s\n", what);
	exit(1);
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static const char *map_file(const char *path, uint64_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *p;

	if (fd < 0 || fstat(fd, &st))
		die("the file cannot be opened");
	*size = (uint64_t)st.st_size;
	p = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		die("the file cannot be mapped");
	return p;
}

/* ---- requests
 */

static void done(struct source_request *request, int error)
{
	struct read *r = (struct read *)request;

	if (in_fetch)
		die("done was called from within fetch");
	if (!r->under_way || r->done)
		die("done was called twice");
	r->under_way = false;
	r->done = true;
	r->error = error;
	r->ended = now_us();
	under_way--;
}

static int begin(unsigned n, uint64_t offset, uint32_t len, bool ahead)
{
	struct read *r = &reads[n];
	int error;

	if (!r->request.buf) {
		r->request.buf = aligned_alloc(SOURCE_PAGE, 2u << 20);
		if (!r->request.buf)
			die("no memory");
	}
	memset(r->request.buf, 0xee, len);
	r->request.offset = offset;
	r->request.len = len;
	r->request.ahead = ahead;
	r->request.done = done;
	r->done = false;
	r->under_way = true;
	r->begun = now_us();
	under_way++;
	in_fetch = true;
	error = ops->fetch(source, &r->request);
	in_fetch = false;
	if (error) {
		r->under_way = false;
		under_way--;
	}
	return error;
}

static void process_some(void)
{
	struct pollfd p = {ops->fd(source), POLLIN, 0};

	if (poll(&p, 1, PATIENCE_MS) != 1)
		die("nothing was done in a minute");
	ops->process(source);
}

/* What the source should have there: zeros beyond its end. */
static bool is_right(const struct source_request *r)
{
	uint64_t have = r->offset < expected_size ? expected_size - r->offset : 0;
	const char *buf = r->buf;

	have = have < r->len ? have : r->len;
	if (memcmp(buf, expected + r->offset, have))
		return false;
	for (uint64_t i = have; i < r->len; i++)
		if (buf[i])
			return false;
	return true;
}

static uint64_t rounded_size(void)
{
	return (source->size + SOURCE_PAGE - 1) / SOURCE_PAGE * SOURCE_PAGE;
}

static uint32_t chunk_at(uint64_t offset)
{
	uint64_t left = rounded_size() - offset;

	return left < source->chunk ? (uint32_t)left : source->chunk;
}

/* Takes what has ended among the first n; the first error and the number of wrong ones. */
static void collect(unsigned n, int *error, unsigned *wrong)
{
	for (unsigned i = 0; i < n; i++) {
		struct read *r = &reads[i];

		if (!r->done)
			continue;
		r->done = false;
		if (r->error && !*error)
			*error = r->error;
		else if (!r->error && !is_right(&r->request))
			++*wrong;
	}
}

static unsigned unused_of(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!reads[i].under_way && !reads[i].done)
			return i;
	return n;
}

static void all(bool ahead)
{
	unsigned depth = source->depth < REQUESTS ? source->depth : REQUESTS, wrong = 0, slot;
	uint64_t at = 0, from = now_us();
	int error = 0;

	while (!error && (at < source->size || under_way)) {
		slot = unused_of(depth);
		if (at < source->size && slot < depth) {
			error = begin(slot, at, chunk_at(at), ahead);
			if (error != -EAGAIN) {
				at += source->chunk;
				continue;
			}
			error = 0;
		}
		process_some();
		collect(depth, &error, &wrong);
	}
	while (under_way)
		process_some();
	collect(depth, &error, &wrong);
	printf("all %d wrong %u us %llu\n", error, wrong, (unsigned long long)(now_us() - from));
}

/* ---- extents
 */

static void extents(void)
{
	uint64_t at = 0, len, zero = 0, end = rounded_size();
	unsigned ranges = 0, wrong = 0;

	while (at < end) {
		enum source_contents what;

		len = end - at;
		what = ops->extent(source, at, &len);
		if (!len || len % SOURCE_PAGE || at + len > end)
			die("an extent of a strange length");
		if (what == SOURCE_ZERO) {
			zero += len;
			for (uint64_t i = at; i < at + len && i < expected_size; i++)
				wrong += expected[i] != 0;
		}
		ranges++;
		at += len;
	}
	printf("extents %u zero %llu wrong %u\n", ranges, (unsigned long long)zero, wrong);
}

/* ---- demand while much is prefetched
 */

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void busy(unsigned ms)
{
	unsigned depth = source->depth < REQUESTS - 1 ? source->depth : REQUESTS - 1, wrong = 0;
	struct read *demand = &reads[REQUESTS - 1];
	static uint64_t took[1 << 20];
	uint64_t at = 0, from = now_us(), bytes = 0;
	size_t n = 0;
	int error = 0;

	srandom(1);
	while (!error && now_us() < from + ms * 1000ull) {
		for (unsigned slot; (slot = unused_of(depth)) < depth && !error;) {
			error = begin(slot, at, chunk_at(at), true);
			if (error == -EAGAIN)
				break;
			at = at + source->chunk < source->size ? at + source->chunk : 0;
			bytes += source->chunk;
		}
		error = error == -EAGAIN ? 0 : error;
		if (!demand->under_way && !error) {
			uint64_t pages = source->size / SOURCE_PAGE;

			if (demand->done && n < 1 << 20)
				took[n++] = demand->ended - demand->begun;
			if (demand->done && (demand->error || !is_right(&demand->request)))
				die("a demand read went wrong");
			error = begin(REQUESTS - 1, (uint64_t)random() % pages * SOURCE_PAGE,
				      SOURCE_PAGE, false);
		}
		process_some();
		collect(depth, &error, &wrong);
	}
	while (under_way)
		process_some();
	collect(depth, &error, &wrong);
	demand->done = false;
	qsort(took, n, sizeof(took[0]), by_value);
	printf("busy %d wrong %u MB/s %llu demand %zu p50 %llu p99 %llu us\n", error, wrong,
	       (unsigned long long)(bytes / (now_us() - from)), n,
	       (unsigned long long)(n ? took[n / 2] : 0),
	       (unsigned long long)(n ? took[n * 99 / 100] : 0));
}

/* ---- writing
 */

static bool zero_page(const char *page, uint64_t len)
{
	for (uint64_t i = 0; i < len; i++)
		if (page[i])
			return false;
	return true;
}

static int write_in_order(struct source_writer *w, const char *data, uint64_t size,
			  const char *order)
{
	uint64_t step = strcmp(order, "pages") ? 768u << 10 : SOURCE_PAGE;
	uint64_t n = (size + step - 1) / step;
	uint64_t *at = malloc(n * sizeof(*at));
	int r = 0;

	for (uint64_t i = 0; i < n; i++)
		at[i] = !strcmp(order, "backward") ? n - 1 - i : i;
	srandom(2);
	for (uint64_t i = n; step == SOURCE_PAGE && i-- > 1;) {
		uint64_t j = (uint64_t)random() % (i + 1), t = at[i];

		at[i] = at[j];
		at[j] = t;
	}
	for (uint64_t i = 0; i < n && !r; i++) {
		uint64_t offset = at[i] * step;
		uint64_t len = size - offset < step ? size - offset : step;

		if (!zero_page(data + offset, len))
			r = w->ops->write(w, offset, data + offset, len);
	}
	free(at);
	return r;
}

static void write_image(const char *spec, const char *path, const char *order)
{
	const char *const options[] = {NULL};
	struct source_env env = {.options = options};
	struct source_writer *w;
	char why[512] = "";
	uint64_t size, from = now_us();
	const char *data = map_file(path, &size);
	bool abandon = !strcmp(order, "abandon");
	int r = ops->writer->create(spec, size, &env, &w, why, sizeof(why));

	if (r < 0) {
		printf("write %d %s\n", r, why);
		return;
	}
	r = write_in_order(w, data, size, order);
	if (r || abandon)
		w->ops->abandon(w);
	else
		r = w->ops->commit(w);
	munmap((void *)data, size);
	printf("write %d us %llu\n", r, (unsigned long long)(now_us() - from));
}

/* ---- lines
 */

static void open_source(char *spec, char **option)
{
	struct source_env env = {.options = (const char *const *)option};
	char why[512] = "";
	int r = ops->open(spec, &env, &source, why, sizeof(why));

	if (r < 0)
		printf("open %d %s\n", r, why);
	else
		printf("open 0 size %llu chunk %u depth %u\n", (unsigned long long)source->size,
		       source->chunk, source->depth);
}

static void await(unsigned n)
{
	struct read *r = &reads[n];

	while (!r->done)
		process_some();
	r->done = false;
	printf("await %u %d %s us %llu\n", n, r->error,
	       r->error		       ? "-"
	       : is_right(&r->request) ? "right"
				       : "wrong",
	       (unsigned long long)(r->ended - r->begun));
}

static void obey(char *word[], int n)
{
	const char *verb = word[0];

	if (!strcmp(verb, "expect") && n == 2) {
		expected = map_file(word[1], &expected_size);
		printf("expect 0\n");
	} else if (!strcmp(verb, "open") && n >= 2) {
		open_source(word[1], word + 2);
	} else if (!strcmp(verb, "all")) {
		all(n == 2);
	} else if (!strcmp(verb, "extents")) {
		extents();
	} else if (!strcmp(verb, "begin") && n >= 4) {
		printf("begin %d\n", begin((unsigned)atoi(word[1]), strtoull(word[2], NULL, 0),
					   (uint32_t)strtoul(word[3], NULL, 0), n == 5));
	} else if (!strcmp(verb, "cancel") && n == 2) {
		ops->cancel(source, &reads[atoi(word[1])].request);
		printf("cancel 0\n");
	} else if (!strcmp(verb, "await") && n == 2) {
		await((unsigned)atoi(word[1]));
	} else if (!strcmp(verb, "busy") && n == 2) {
		busy((unsigned)atoi(word[1]));
	} else if (!strcmp(verb, "repair")) {
		if (ops->repair)
			ops->repair(source);
		printf("repair 0\n");
	} else if (!strcmp(verb, "close")) {
		ops->close(source);
		printf("close 0\n");
	} else if (!strcmp(verb, "write") && n == 4) {
		write_image(word[1], word[2], word[3]);
	} else if (!strcmp(verb, "abandon") && n == 3) {
		write_image(word[1], word[2], "abandon");
	} else {
		die("what is that?");
	}
}

int main(int argc, char **argv)
{
	void *module = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
	const struct source_ops *const *exported;
	const uint32_t *version;
	char line[4096];

	if (!module)
		die(argc == 2 ? dlerror() : "usage: drive MODULE.so");
	exported = dlsym(module, "userfault_source");
	version = dlsym(module, "userfault_source_version");
	if (!exported || !version || *version != SOURCE_VERSION)
		die("the module exports no source of this version");
	ops = *exported;
	while (fgets(line, sizeof(line), stdin)) {
		char *word[16] = {0}, *rest;
		int n = 0;

		for (char *w = strtok_r(line, " \n", &rest); w && n < 15;
		     w = strtok_r(NULL, " \n", &rest))
			word[n++] = w;
		if (n)
			obey(word, n);
		fflush(stdout);
	}
	return 0;
}
