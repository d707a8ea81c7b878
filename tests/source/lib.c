/*
 * lib.c - for the tests of sources.
 */
#include "lib.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AT_ONCE 32u
#define WAIT_MS 60000

const char *const pattern_name[PATTERNS] = {"zero", "random", "text", "same", "mixed"};

uint64_t random_next(uint64_t *state)
{
	uint64_t x = *state ? *state : 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

/* ---- memory
 */

static void fill_page(unsigned char *page, enum pattern pattern, uint64_t number, uint64_t *state)
{
	uint64_t kind;

	switch (pattern) {
	case PATTERN_RANDOM:
		for (unsigned i = 0; i < SOURCE_PAGE; i += 8)
			memcpy(page + i, &(uint64_t){random_next(state)}, 8);
		break;
	case PATTERN_TEXT:
		for (unsigned i = 0; i < SOURCE_PAGE; i += 16)
			snprintf((char *)page + i, 16, "%7ju/%-7u", (uintmax_t)number % 10000000,
				 i);
		break;
	case PATTERN_SAME:
		memset(page, 1 + (int)(random_next(state) % 7), SOURCE_PAGE);
		break;
	case PATTERN_MIXED:
		kind = random_next(state) % 4;
		fill_page(page, kind < PATTERN_MIXED ? (enum pattern)kind : PATTERN_ZERO, number,
			  state);
		break;
	default:
		break;
	}
}

unsigned char *make_memory(enum pattern pattern, uint64_t size, uint64_t seed)
{
	uint64_t all = (size + SOURCE_PAGE - 1) & ~(uint64_t)(SOURCE_PAGE - 1), state = seed;
	unsigned char *memory = aligned_alloc(SOURCE_PAGE, all + SOURCE_PAGE);

	CHECK(memory);
	memset(memory, 0, all);
	for (uint64_t at = 0; at < all; at += SOURCE_PAGE)
		fill_page(memory + at, pattern, at / SOURCE_PAGE, &state);
	memset(memory + size, 0, all - size);
	return memory;
}

static char directory[128];

static void remove_directory(void)
{
	char command[160];

	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	(void)!system(command);
}

const char *temporary(const char *name, char path[256])
{
	const char *tmp = getenv("TMPDIR");

	if (!directory[0]) {
		snprintf(directory, sizeof(directory), "%.80s/userfault-source.XXXXXX",
			 tmp ? tmp : "/tmp");
		CHECK(mkdtemp(directory));
		CHECK(chmod(directory, 0755) == 0);
		atexit(remove_directory);
	}
	snprintf(path, 256, "%s/%s", directory, name);
	return path;
}

void write_file(const char *path, const void *contents, uint64_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	CHECK(fd >= 0);
	CHECK(write(fd, contents, size) == (ssize_t)size);
	close(fd);
}

/* ---- sources
 */

struct source *open_source(const char *spec, const char *const *options, bool direct)
{
	struct source_env env = {.options = options, .direct = direct};
	struct source *s;
	char why[700] = "";
	int error = source_open(spec, &env, &s, why, sizeof(why));

	if (error)
		printf("%s: %d: %s\n", spec, error, why);
	CHECK(error == 0);
	return s;
}

void refused(const char *spec, const char *const *options, int error, const char *words)
{
	struct source_env env = {.options = options};
	struct source *s;
	char why[700] = "";
	int got = source_open(spec, &env, &s, why, sizeof(why));

	if (got != error || !strstr(why, words))
		printf("%s: %d, '%s'\n", spec, got, why);
	CHECK(got == error);
	CHECK(strstr(why, words));
	CHECK(why[strlen(why) - 1] != '.');
}

struct fetching {
	struct source_request request;
	bool done;
	int error;
};

static void done(struct source_request *request, int error)
{
	struct fetching *f = (struct fetching *)request;

	CHECK(!f->done);
	f->done = true;
	f->error = error;
}

static void wait_and_process(struct source *s)
{
	struct pollfd fd = {.fd = s->ops->fd(s), .events = POLLIN};
	int n;

	do {
		n = poll(&fd, 1, WAIT_MS);
	} while (n < 0 && errno == EINTR);
	CHECK(n == 1);
	s->ops->process(s);
}

int fetch(struct source *s, uint64_t offset, uint32_t len, void *buf)
{
	struct fetching f = {.request = {.offset = offset, .len = len, .buf = buf, .done = done}};
	int error = s->ops->fetch(s, &f.request);

	if (error)
		return error;
	CHECK(!f.done);
	while (!f.done)
		wait_and_process(s);
	return f.error;
}

int fetch_all(struct source *s, unsigned char *buf, uint64_t seed)
{
	uint64_t all = (s->size + SOURCE_PAGE - 1) & ~(uint64_t)(SOURCE_PAGE - 1);
	uint64_t n = (all + s->chunk - 1) / s->chunk, next = 0, under_way = 0;
	uint64_t *at = malloc((n + 1) * sizeof(*at));
	struct fetching f[AT_ONCE];
	bool used[AT_ONCE] = {false};
	int worst = 0;

	CHECK(at);
	for (uint64_t i = 0; i < n; i++) {
		uint64_t k = seed ? random_next(&seed) % (i + 1) : i;

		at[i] = at[k];
		at[k] = i * s->chunk;
	}
	while (next < n || under_way) {
		for (unsigned i = 0; i < AT_ONCE && next < n; i++) {
			uint64_t left = all - at[next];

			if (used[i])
				continue;
			f[i] = (struct fetching){
				.request = {.offset = at[next],
					    .len = (uint32_t)(left < s->chunk ? left : s->chunk),
					    .ahead = i % 2,
					    .buf = buf + at[next],
					    .done = done}};
			if (s->ops->fetch(s, &f[i].request) != 0) {
				CHECK(under_way);
				break;
			}
			used[i] = true;
			under_way++;
			next++;
		}
		wait_and_process(s);
		for (unsigned i = 0; i < AT_ONCE; i++) {
			if (!used[i] || !f[i].done)
				continue;
			used[i] = false;
			under_way--;
			worst = f[i].error ? f[i].error : worst;
		}
	}
	free(at);
	return worst;
}

static void expect_page(struct source *s, const unsigned char *memory, uint64_t at)
{
	static const unsigned char zero[SOURCE_PAGE];
	uint64_t len = SOURCE_PAGE;
	enum source_contents contents = s->ops->extent ? s->ops->extent(s, at, &len) : SOURCE_DATA;
	const void *peek = s->ops->peek ? s->ops->peek(s, at, SOURCE_PAGE) : NULL;

	CHECK(len == SOURCE_PAGE);
	CHECK(contents != SOURCE_ZERO || memcmp(memory + at, zero, SOURCE_PAGE) == 0);
	CHECK(!peek || memcmp(memory + at, peek, SOURCE_PAGE) == 0);
}

void expect_contents(struct source *s, const unsigned char *memory, uint64_t size)
{
	uint64_t all = (size + SOURCE_PAGE - 1) & ~(uint64_t)(SOURCE_PAGE - 1);
	unsigned char *buf = aligned_alloc(SOURCE_PAGE, all + SOURCE_PAGE);

	CHECK(buf);
	CHECK(s->size == size);
	memset(buf, 0xee, all);
	CHECK(fetch_all(s, buf, 0) == 0);
	CHECK(memcmp(buf, memory, all) == 0);
	memset(buf, 0xee, all);
	CHECK(fetch_all(s, buf, 7) == 0);
	CHECK(memcmp(buf, memory, all) == 0);
	for (uint64_t at = 0; at < all; at += SOURCE_PAGE)
		expect_page(s, memory, at);
	free(buf);
}

void make_image(const char *spec, const char *kind, const char *const *options,
		const unsigned char *memory, uint64_t size, uint64_t order)
{
	struct source_env env = {.options = options};
	uint64_t n = (size + SOURCE_PAGE - 1) / SOURCE_PAGE,
		 *page = malloc((n + 1) * sizeof(*page));
	struct source_writer *w;
	char why[700] = "";
	int error = source_create(spec, kind, size, &env, &w, why, sizeof(why));

	if (error)
		printf("%s: %d: %s\n", spec, error, why);
	CHECK(error == 0 && page);
	for (uint64_t i = 0; i < n; i++) {
		uint64_t k = order ? random_next(&order) % (i + 1) : i;

		page[i] = page[k];
		page[k] = i;
	}
	for (uint64_t i = 0; i < n; i++) {
		uint64_t at = page[i] * SOURCE_PAGE;
		uint64_t len = size - at < SOURCE_PAGE ? size - at : SOURCE_PAGE;

		CHECK(w->ops->write(w, at, memory + at, len) == 0);
	}
	CHECK(w->ops->commit(w) == 0);
	free(page);
}
