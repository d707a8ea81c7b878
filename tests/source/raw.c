/*
 * raw.c [io=uring|io=threads] - raw files: of odd sizes, with holes, in the page cache and not, cut
 * off while they are open.
 */
#include "lib.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "source/raw.h"

#define PAGES(n) ((uint64_t)(n)*SOURCE_PAGE)

static char path[256];
static const char *options[3];

static struct source *open_raw(bool direct)
{
	struct source *s = open_source(path, options[0] ? options : NULL, direct);

	CHECK(strcmp(s->ops->name, "raw") == 0);
	if (options[0])
		CHECK(((struct raw *)s)->has_ring == (strcmp(options[0], "io=uring") == 0));
	return s;
}

/* Is every page in the page cache? What is there may leave at any time. */
static bool resident(int fd, uint64_t offset, uint64_t size)
{
	void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, (off_t)offset);
	unsigned char *there = malloc(size / SOURCE_PAGE);
	bool all = true;

	CHECK(map != MAP_FAILED && mincore(map, size, there) == 0);
	for (uint64_t i = 0; i < size / SOURCE_PAGE; i++)
		all &= there[i] & 1;
	munmap(map, size);
	free(there);
	return all;
}

static void sizes(void)
{
	static const uint64_t sizes[] = {0, 1, 4095, 4096, 4097, PAGES(16), PAGES(700) + 9};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		unsigned char *memory = make_memory(PATTERN_MIXED, sizes[i], i + 1);
		struct source_env env = {.direct = true, .options = options};
		struct source *s;
		char why[600];

		make_image(path, "raw", NULL, memory, sizes[i], i % 2);
		s = open_raw(false);
		expect_contents(s, memory, sizes[i]);
		source_close(s);
		if (source_open(path, &env, &s, why, sizeof(why)) == 0) {
			CHECK(!s->ops->peek(s, 0, SOURCE_PAGE));
			expect_contents(s, memory, sizes[i]);
			source_close(s);
		} else {
			CHECK(strstr(why, "O_DIRECT"));
		}
		free(memory);
	}
}

/* Where there are stretches of data, [2n, 2n + 1). */
static void sparse(const uint64_t *at, size_t n, uint64_t size)
{
	unsigned char *memory = make_memory(PATTERN_ZERO, size, 1);
	uint64_t from = 0, zeros = 0, expected = size;
	struct source *s;

	for (size_t i = 0; i < n; i += 2) {
		memset(memory + at[i], 'x', at[i + 1] - at[i]);
		expected -= at[i + 1] - at[i];
	}
	make_image(path, "raw", NULL, memory, size, 0);
	s = open_raw(false);
	while (from < size) {
		uint64_t len = size - from;

		if (s->ops->extent(s, from, &len) == SOURCE_ZERO)
			zeros += len;
		CHECK(len && len % SOURCE_PAGE == 0 && from + len <= size);
		from += len;
	}
	/* A file system may make no holes; this one's are all found, or none. */
	CHECK(zeros == expected ||
	      (zeros == 0 && lseek(((struct raw *)s)->fd, 0, SEEK_HOLE) == (off_t)size));
	expect_contents(s, memory, size);
	source_close(s);
	free(memory);
}

static void holes(void)
{
	const uint64_t mib = 1 << 20;

	sparse((const uint64_t[]){0, 0}, 0, 9 * mib);
	sparse((const uint64_t[]){0, PAGES(1)}, 2, 9 * mib);
	sparse((const uint64_t[]){PAGES(1), PAGES(2), 3 * mib, 7 * mib}, 4, 9 * mib);
	sparse((const uint64_t[]){2 * mib - PAGES(1), 2 * mib + PAGES(1), 8 * mib, 9 * mib}, 4,
	       9 * mib);
	sparse((const uint64_t[]){0, 9 * mib}, 2, 9 * mib);
}

/* A hole that is written to while the file is open is found out, though not at once. */
static void filled_later(void)
{
	unsigned char *memory = make_memory(PATTERN_ZERO, 4 << 20, 1);
	uint64_t len = 4 << 20;
	struct source *s;
	time_t until = time(NULL) + 60;
	int fd;

	make_image(path, "raw", NULL, memory, 4 << 20, 0);
	s = open_raw(false);
	if (s->ops->extent(s, 0, &len) == SOURCE_ZERO) {
		fd = open(path, O_RDWR);
		CHECK(pwrite(fd, "x", 1, PAGES(5)) == 1);
		close(fd);
		do {
			CHECK(time(NULL) < until);
			len = SOURCE_PAGE;
		} while (s->ops->extent(s, PAGES(5), &len) != SOURCE_DATA);
	}
	source_close(s);
	free(memory);
}

/* What is resident is handed out, what is not has to be fetched. */
static void cached(void)
{
	unsigned char *memory = make_memory(PATTERN_RANDOM, 4 << 20, 1);
	unsigned char *buf = aligned_alloc(SOURCE_PAGE, 64 << 10);
	const void *peek;
	struct source *s;
	int fd;

	write_file(path, memory, 4 << 20);
	s = open_raw(false);
	fd = open(path, O_RDWR);
	CHECK(fsync(fd) == 0);
	peek = s->ops->peek(s, PAGES(7), PAGES(40));
	CHECK(peek ? memcmp(peek, memory + PAGES(7), PAGES(40)) == 0
		   : !resident(fd, PAGES(7), PAGES(40)));
	source_close(s);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	s = open_raw(false);
	if (!resident(fd, 0, 4 << 20)) {
		unsigned missing = 0;

		for (unsigned i = 0; i < 1024; i++)
			missing += !s->ops->peek(s, PAGES(i), SOURCE_PAGE);
		CHECK(missing);
	}
	CHECK(fetch(s, 1 << 20, 64 << 10, buf) == 0);
	CHECK(memcmp(buf, memory + (1 << 20), 64 << 10) == 0);
	CHECK(s->ops->peek(s, 1 << 20, 64 << 10) || !resident(fd, 1 << 20, 64 << 10));
	expect_contents(s, memory, 4 << 20);
	source_close(s);
	close(fd);
	free(buf);
	free(memory);
}

/* A user to whom mincore does not tell the truth, and who must not be told that all is there. */
static void other_user(void)
{
	unsigned char *memory = make_memory(PATTERN_RANDOM, 1 << 20, 1);
	struct source *s;
	pid_t child;
	int status, fd;

	if (geteuid() != 0)
		return;
	write_file(path, memory, 1 << 20);
	fd = open(path, O_RDWR);
	CHECK(fsync(fd) == 0);
	child = fork();
	if (!child) {
		CHECK(setgid(65534) == 0 && setuid(65534) == 0);
		s = open_raw(false);
		CHECK(!((struct raw *)s)->truthful);
		expect_contents(s, memory, 1 << 20);
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		CHECK(!s->ops->peek(s, 0, 1 << 20) || resident(fd, 0, 1 << 20));
		source_close(s);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	close(fd);
	free(memory);
}

static void cut_off(void)
{
	unsigned char *memory = make_memory(PATTERN_RANDOM, PAGES(64), 1);
	unsigned char *buf = aligned_alloc(SOURCE_PAGE, 64 << 10);
	time_t until = time(NULL) + 60;
	struct source *s;
	uint64_t len;

	write_file(path, memory, PAGES(64));
	s = open_raw(false);
	CHECK(fetch(s, PAGES(48), 64 << 10, buf) == 0);
	CHECK(truncate(path, PAGES(40) + 5) == 0);
	CHECK(fetch(s, PAGES(48), 64 << 10, buf) == -ENODATA);
	CHECK(fetch(s, PAGES(32), 64 << 10, buf) == -ENODATA);
	CHECK(fetch(s, PAGES(16), 64 << 10, buf) == 0);
	CHECK(source_error_lasts(-ENODATA));
	/* What is not there is no hole. */
	len = PAGES(4);
	CHECK(s->ops->extent(s, PAGES(50), &len) == SOURCE_DATA);
	/* The page cache is looked at again soon. */
	while (s->ops->peek(s, PAGES(50), SOURCE_PAGE))
		CHECK(time(NULL) < until);
	source_close(s);
	free(buf);
	free(memory);
}

struct waited {
	struct source_request request;
	int error, *left;
};

static void note(struct source_request *request, int error)
{
	struct waited *w = (struct waited *)request;

	w->error = error;
	--*w->left;
}

static void canceled(void)
{
	unsigned char *memory = make_memory(PATTERN_RANDOM, PAGES(64) * 16, 1);
	unsigned char *buf = aligned_alloc(SOURCE_PAGE, PAGES(64) * 16);
	struct waited w[64];
	struct pollfd fd;
	struct source *s;
	int left = 64;

	write_file(path, memory, PAGES(64) * 16);
	s = open_raw(false);
	for (unsigned i = 0; i < 64; i++) {
		w[i] = (struct waited){.request = {.offset = PAGES(16) * i,
						   .len = (uint32_t)PAGES(16),
						   .ahead = i % 2,
						   .buf = buf + PAGES(16) * i,
						   .done = note},
				       .left = &left};
		CHECK(s->ops->fetch(s, &w[i].request) == 0);
	}
	CHECK(left == 64);
	CHECK(s->ops->fetch(s, &(struct source_request){.len = SOURCE_PAGE}) == -EAGAIN);
	for (unsigned i = 0; i < 64; i += 3)
		s->ops->cancel(s, &w[i].request);
	fd = (struct pollfd){.fd = s->ops->fd(s), .events = POLLIN};
	while (left) {
		CHECK(poll(&fd, 1, 60000) == 1);
		s->ops->process(s);
	}
	for (unsigned i = 0; i < 64; i++) {
		CHECK(w[i].error == 0 || (w[i].error == -ECANCELED && i % 3 == 0));
		CHECK(w[i].error ||
		      memcmp(buf + PAGES(16) * i, memory + PAGES(16) * i, PAGES(16)) == 0);
	}
	expect_contents(s, memory, PAGES(64) * 16);
	source_close(s);
	free(buf);
	free(memory);
}

static void writing(void)
{
	unsigned char *memory = make_memory(PATTERN_TEXT, PAGES(8), 1);
	struct source_env env = {0};
	struct source_writer *w;
	char why[600], link[256], fifo[256];
	struct stat st;
	struct source *s;

	make_image(path, "raw", NULL, memory, PAGES(8), 0);
	CHECK(chmod(path, 0600) == 0);
	CHECK(symlink(path, temporary("link", link)) == 0);
	CHECK(mkfifo(temporary("fifo", fifo), 0600) == 0);
	/* What a link leads to is replaced, not the link, and its mode stays. */
	CHECK(source_create(link, "raw", PAGES(8), &env, &w, why, sizeof(why)) == 0);
	CHECK(w->ops->write(w, PAGES(2), memory, PAGES(7)) == -EINVAL);
	CHECK(w->ops->write(w, PAGES(2), memory + PAGES(2), PAGES(6)) == 0);
	CHECK(w->ops->commit(w) == 0);
	CHECK(lstat(link, &st) == 0 && S_ISLNK(st.st_mode));
	CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
	memset(memory, 0, PAGES(2));
	s = open_raw(false);
	expect_contents(s, memory, PAGES(8));
	source_close(s);
	CHECK(source_create(fifo, "raw", 1, &env, &w, why, sizeof(why)) == -EINVAL);
	refused(fifo, NULL, -EINVAL, "neither a file nor a block device");
	refused("/", NULL, -EISDIR, "neither");
	refused(path, (const char *[]){"io=smoke", NULL}, -EINVAL, "neither uring nor threads");
	free(memory);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		struct source_env env = {.options = options};
		char why[600];
		struct source *s;

		options[0] = argv[1];
		write_file(temporary("file", path), "x", 1);
		if (source_open(path, &env, &s, why, sizeof(why)) != 0) {
			printf("skipped: %s\n", why);
			return 77;
		}
		source_close(s);
	}
	temporary("file", path);
	sizes();
	holes();
	filled_later();
	cached();
	other_user();
	cut_off();
	canceled();
	writing();
	return 0;
}
