/*
 * tracefile.c - the file of --trace: made, gone on with, cut to its length.
 */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <stdio.h>

#include "trace/trace.h"

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static size_t bytes_of(uint64_t capacity)
{
	return sizeof(struct trace_header) + capacity * sizeof(struct trace_record);
}

static bool is_ours(const struct trace_header *h, uint64_t size)
{
	return h->magic == TRACE_MAGIC && h->version == TRACE_VERSION &&
	       h->record_size == sizeof(struct trace_record) && h->origin == TRACE_OF_PAGER &&
	       h->capacity > 0 && h->capacity < size && bytes_of(h->capacity) == size;
}

static void begin_header(struct server *s, struct trace_header *h)
{
	h->version = TRACE_VERSION;
	h->record_size = sizeof(struct trace_record);
	h->capacity = (s->trace_bytes - sizeof(*h)) / sizeof(struct trace_record);
	h->mono_ns = clock_ns(CLOCK_MONOTONIC);
	h->real_ns = clock_ns(CLOCK_REALTIME);
	h->origin = TRACE_OF_PAGER;
	h->page_size = 4096;
	snprintf(h->program, sizeof(h->program), "%.*s", (int)sizeof(h->program) - 1,
		 s->source->spec);
	h->magic = TRACE_MAGIC;
}

/* 0 or -errno; *old: what is there goes on. */
static int prepare(struct server *s, int fd, bool again, bool *old)
{
	struct trace_header h;
	struct stat st;

	*old = again && fstat(fd, &st) == 0 && pread(fd, &h, sizeof(h), 0) == sizeof(h) &&
	       is_ours(&h, (uint64_t)st.st_size);
	if (*old) {
		s->trace_bytes = (size_t)st.st_size;
		return 0;
	}
	s->trace_bytes = bytes_of((s->o->trace_size - sizeof(h)) / sizeof(struct trace_record));
	return ftruncate(fd, 0) || ftruncate(fd, (off_t)s->trace_bytes) ? -errno : 0;
}

int tracefile_begin(struct server *s, bool again)
{
	int fd = open(s->o->trace, O_RDWR | O_CREAT | O_CLOEXEC, 0644), error;
	void *at = MAP_FAILED;
	bool old = false;

	error = fd < 0 ? -errno : prepare(s, fd, again, &old);
	if (!error) {
		at = mmap(NULL, s->trace_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		error = at == MAP_FAILED ? -errno : 0;
	}
	if (fd >= 0)
		close(fd);
	if (error) {
		say(ENGINE_ERROR, "--trace: '%s' cannot be written: %s", s->o->trace,
		    strerror(-error));
		return error;
	}
	s->trace = at;
	if (!old)
		begin_header(s, &s->trace->header);
	return 0;
}

void tracefile_end(struct server *s)
{
	uint64_t count;

	if (!s->trace)
		return;
	count = s->trace->header.count;
	if (count > s->trace->header.capacity) {
		say(ENGINE_WARNING,
		    "--trace: %ju of %ju records had no room; --trace-size makes more",
		    (uintmax_t)(count - s->trace->header.capacity), (uintmax_t)count);
		count = s->trace->header.capacity;
	}
	munmap(s->trace, s->trace_bytes);
	s->trace = NULL;
	if (truncate(s->o->trace, (off_t)bytes_of(count)) != 0)
		say(ENGINE_WARNING, "--trace: '%s' cannot be cut to its length: %s", s->o->trace,
		    strerror(errno));
}
