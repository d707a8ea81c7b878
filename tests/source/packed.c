/*
 * packed.c - packed images of all sorts of memory, written and read back; requests that join, are
 * canceled, or need more than there is room for.
 */
#include "lib.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "source/packed.h"

#define PAGES(n) ((uint64_t)(n)*SOURCE_PAGE)

static char path[256];

static const struct packed *packed(const struct source *s)
{
	return (const struct packed *)s;
}

static void round_trips(void)
{
	static const uint64_t sizes[] = {0,    1,	  4095,	     4096,
					 4097, PAGES(16), PAGES(17), PAGES(600) + 9};
	static const char *const chunks[] = {"chunk=4K", "chunk=64K", "chunk=1M"};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (int p = 0; p < PATTERNS; p++) {
			const char *const options[] = {chunks[(i + (size_t)p) % 3], "level=1",
						       NULL};
			unsigned char *memory =
				make_memory((enum pattern)p, sizes[i], 11 + (uint64_t)p);
			struct source *s;

			for (uint64_t order = 0; order < 2; order++) {
				make_image(path, "packed", options, memory, sizes[i], order * 99);
				s = open_source(path, NULL, false);
				CHECK(strcmp(s->ops->name, "packed") == 0);
				expect_contents(s, memory, sizes[i]);
				source_close(s);
			}
			free(memory);
		}
	}
}

/* What is left out is not in the file. */
static void left_out(void)
{
	unsigned char *memory = make_memory(PATTERN_SAME, PAGES(1000), 5);
	struct packed_info info;
	uint64_t bad, len = PAGES(1000);
	struct source *s;
	char why[600];

	memset(memory + PAGES(100), 0, PAGES(300));
	make_image(path, "packed", NULL, memory, PAGES(1000), 0);
	CHECK(packed_info(path, &info, why, sizeof(why)) == 0);
	CHECK(info.pages == 1000 && info.h.zero_pages == 300);
	CHECK(info.h.slots == 7 && info.h.same_pages == 693);
	CHECK(info.h.file_size < 10 * SOURCE_PAGE);
	CHECK(packed_check(path, 2, &bad, NULL, NULL, why, sizeof(why)) == 0 && bad == 0);
	s = open_source(path, NULL, false);
	CHECK(s->ops->extent(s, PAGES(100), &len) == SOURCE_ZERO && len == PAGES(300));
	len = PAGES(1000);
	CHECK(s->ops->extent(s, 0, &len) == SOURCE_DATA && len == PAGES(100));
	source_close(s);
	free(memory);
}

/* Neighbours in memory are far from each other in the file, so a request is a page; in the order of
 * addresses it is a chunk. */
static void sizes_of_requests(void)
{
	unsigned char *memory = make_memory(PATTERN_TEXT, PAGES(4096), 5);
	struct source *s;

	make_image(path, "packed", NULL, memory, PAGES(4096), 0);
	s = open_source(path, NULL, false);
	CHECK(s->chunk == 64 << 10);
	source_close(s);
	make_image(path, "packed", NULL, memory, PAGES(4096), 17);
	s = open_source(path, NULL, false);
	CHECK(s->chunk <= 2 * SOURCE_PAGE);
	expect_contents(s, memory, PAGES(4096));
	source_close(s);
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

static void process_until(struct source *s, const int *left, int until)
{
	struct pollfd fd = {.fd = s->ops->fd(s), .events = POLLIN};

	while (*left > until) {
		CHECK(poll(&fd, 1, 60000) == 1);
		s->ops->process(s);
	}
}

/* Requests of 1 MiB whose pages are in 256 chunks each, with 16 entries in the cache. */
static void little_room(void)
{
	enum {
		MIB = 8
	};
	static const char *const options[] = {"chunk=4K", NULL}, *const cache[] = {"cache=64K",
										   NULL};
	unsigned char *memory = make_memory(PATTERN_TEXT, MIB << 20, 5);
	unsigned char *buf = aligned_alloc(SOURCE_PAGE, MIB << 20);
	struct waited w[MIB];
	struct source *s;
	int left = MIB;

	make_image(path, "packed", options, memory, MIB << 20, 23);
	s = open_source(path, cache, false);
	CHECK(packed(s)->nentries == 16);
	for (unsigned i = 0; i < MIB; i++) {
		w[i] = (struct waited){.request = {.offset = (uint64_t)i << 20,
						   .len = 1 << 20,
						   .ahead = i % 2,
						   .buf = buf + (i << 20),
						   .done = note},
				       .left = &left};
		CHECK(s->ops->fetch(s, &w[i].request) == 0);
	}
	/* Of one that waits for room, too, nothing is wanted any more. */
	s->ops->cancel(s, &w[MIB - 1].request);
	s->ops->cancel(s, &w[0].request);
	process_until(s, &left, 0);
	for (unsigned i = 1; i + 1 < MIB; i++)
		CHECK(w[i].error == 0);
	CHECK(memcmp(buf + (1 << 20), memory + (1 << 20), (MIB - 2) << 20) == 0);
	CHECK(w[0].error == 0 || w[0].error == -ECANCELED);
	CHECK(w[MIB - 1].error == -ECANCELED);
	expect_contents(s, memory, MIB << 20);
	source_close(s);
	free(buf);
	free(memory);
}

/* Many want one chunk, the first perhaps all of it, and some do not want it any more. */
static void joined(void)
{
	unsigned char *memory = make_memory(PATTERN_TEXT, PAGES(64), 5);
	unsigned char *buf = aligned_alloc(SOURCE_PAGE, PAGES(64));
	struct waited w[16];
	struct source *s;

	make_image(path, "packed", NULL, memory, PAGES(64), 0);
	for (unsigned round = 0; round < 60; round++) {
		int left = 16;

		s = open_source(path, NULL, false);
		CHECK(s->depth == 16);
		for (unsigned i = 0; i < 16; i++) {
			w[i] = (struct waited){.request = {.offset = PAGES(16) + PAGES(i),
							   .len = SOURCE_PAGE,
							   .ahead = round % 2,
							   .buf = buf + PAGES(i + 16),
							   .done = note},
					       .left = &left};
			if (!i && round % 3) {
				w[i].request.len = 16 * SOURCE_PAGE;
				w[i].request.buf = buf;
			}
			CHECK(s->ops->fetch(s, &w[i].request) == 0);
			CHECK(left == 16);
			if (i % 3 == 0)
				s->ops->cancel(s, &w[i].request);
		}
		CHECK(s->ops->fetch(s, &(struct source_request){.len = SOURCE_PAGE}) == -EAGAIN);
		process_until(s, &left, 0);
		for (unsigned i = 0; i < 16; i++) {
			CHECK(w[i].error == 0 || (i % 3 == 0 && w[i].error == -ECANCELED));
			CHECK(w[i].error || memcmp(w[i].request.buf, memory + PAGES(16 + i),
						   w[i].request.len) == 0);
		}
		/* What went to a request only is not kept. */
		CHECK(!s->ops->peek(s, PAGES(20), SOURCE_PAGE) == (round % 3 != 0));
		source_close(s);
	}
	free(buf);
	free(memory);
}

/* With O_DIRECT where there is such a thing; a file cut off while it is open. */
static void on_disk(void)
{
	unsigned char *memory = make_memory(PATTERN_MIXED, PAGES(500) + 1, 5), buf[SOURCE_PAGE];
	struct source_env env = {.direct = true};
	struct packed_info info;
	struct source *s;
	char why[600];

	make_image(path, "packed", NULL, memory, PAGES(500) + 1, 0);
	if (source_open(path, &env, &s, why, sizeof(why)) == 0) {
		expect_contents(s, memory, PAGES(500) + 1);
		source_close(s);
	} else {
		CHECK(strstr(why, "O_DIRECT"));
	}
	s = open_source(path, NULL, false);
	CHECK(packed_info(path, &info, why, sizeof(why)) == 0);
	CHECK(truncate(path, PACKED_DATA_AT + 10) == 0);
	for (unsigned i = 0; i < 500; i++) {
		uint64_t len = SOURCE_PAGE;

		if (s->ops->extent(s, PAGES(i), &len) == SOURCE_DATA) {
			CHECK(fetch(s, PAGES(i), SOURCE_PAGE, buf) == -ENODATA);
			CHECK(source_error_lasts(-ENODATA));
		}
	}
	source_close(s);
	refused(path, NULL, -EBADMSG, "cut off");
	free(memory);
}

/* One bit of a chunk. */
static void damaged(void)
{
	unsigned char *memory = make_memory(PATTERN_TEXT, PAGES(160), 5), bit;
	unsigned char *buf = aligned_alloc(SOURCE_PAGE, 64 << 10);
	uint64_t bad;
	struct source *s;
	char why[600];
	int fd;

	make_image(path, "packed", NULL, memory, PAGES(160), 0);
	s = open_source(path, NULL, false);
	fd = open(path, O_RDWR);
	CHECK(pread(fd, &bit, 1, (off_t)packed(s)->at[3] + 20) == 1);
	bit ^= 4;
	CHECK(pwrite(fd, &bit, 1, (off_t)packed(s)->at[3] + 20) == 1);
	close(fd);
	for (unsigned i = 0; i < 10; i++)
		CHECK(fetch(s, (uint64_t)i << 16, 64 << 10, buf) == (i == 3 ? -EBADMSG : 0));
	CHECK(source_error_lasts(-EBADMSG));
	CHECK(!s->ops->peek(s, 3 << 16, SOURCE_PAGE));
	source_close(s);
	CHECK(packed_check(path, 0, &bad, NULL, NULL, why, sizeof(why)) == -EBADMSG && bad == 1);
	free(buf);
	free(memory);
}

static void writing(void)
{
	unsigned char *memory = make_memory(PATTERN_TEXT, PAGES(64), 5);
	struct source_env env = {0};
	struct source_writer *w;
	struct stat before, after;
	struct source *s;
	char why[600];

	make_image(path, "packed", NULL, memory, PAGES(64), 0);
	CHECK(stat(path, &before) == 0);
	CHECK(source_create(path, NULL, PAGES(64), &env, &w, why, sizeof(why)) == 0);
	CHECK(w->ops->write(w, 0, memory, PAGES(8)) == 0);
	CHECK(w->ops->write(w, PAGES(3), memory, SOURCE_PAGE) == -EINVAL);
	CHECK(w->ops->write(w, PAGES(63), memory, PAGES(2)) == -EINVAL);
	CHECK(w->ops->write(w, PAGES(70), memory, 0) == -EINVAL);
	CHECK(w->ops->write(w, 5, memory, SOURCE_PAGE) == -EINVAL);
	/* The old one stays. */
	w->ops->abandon(w);
	CHECK(stat(path, &after) == 0 && after.st_ino == before.st_ino);
	s = open_source(path, NULL, false);
	expect_contents(s, memory, PAGES(64));
	/* Who has it open keeps what he has when another takes its name. */
	make_image(path, "packed", NULL, memory + PAGES(1), PAGES(63), 0);
	expect_contents(s, memory, PAGES(64));
	source_close(s);
	env.options = (const char *[]){"chunk=5K", NULL};
	CHECK(source_create(path, NULL, 1, &env, &w, why, sizeof(why)) == -EINVAL);
	env.options = (const char *[]){"level=99", NULL};
	CHECK(source_create(path, NULL, 1, &env, &w, why, sizeof(why)) == -EINVAL);
	env.options = NULL;
	CHECK(source_create(path, NULL, UINT64_C(1) << 50, &env, &w, why, sizeof(why)) == -EFBIG);
	CHECK(source_create("/nowhere/at/all", NULL, 1, &env, &w, why, sizeof(why)) == -ENOENT);
	free(memory);
}

int main(void)
{
	temporary("image", path);
	round_trips();
	left_out();
	sizes_of_requests();
	little_room();
	joined();
	on_disk();
	damaged();
	writing();
	return 0;
}
