/*
 * run_trace.c - run's --trace: the file that its processes write (trace/trace.h), made before they
 * start and cut to length when they have ended.
 */
#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "machine/machine.h"
#include "trace/trace.h"

/* Of the file, which is sparse: it takes what is written. */
#define SIZE_USUAL ((uint64_t)1 << 30)
#define SIZE_LEAST ((uint64_t)64 << 10)

/* More than any count: who claims a record after this is too late. */
#define OVER ((uint64_t)1 << 62)

int run_trace_set_size(struct run_trace *t, const char *text)
{
	if (!parse_size(text, &t->size))
		return bad_size("--trace-size", text);
	if (t->size < SIZE_LEAST) {
		complain("--trace-size: less than %juK has no room for a trace",
			 (uintmax_t)SIZE_LEAST >> 10);
		return STATUS_USAGE;
	}
	return 0;
}

static uint64_t file_size(uint64_t records)
{
	return sizeof(struct trace_file) + records * sizeof(struct trace_record);
}

static uint64_t capacity(const struct run_trace *t)
{
	uint64_t size = t->size ? t->size : SIZE_USUAL;
	struct rlimit limit;

	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < size)
		size = limit.rlim_cur;
	return size > file_size(0) ? (size - file_size(0)) / sizeof(struct trace_record) : 0;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* As it was typed, as far as there is room. */
static void note_program(struct trace_header *h, char *const *program)
{
	size_t len = 0;

	for (unsigned i = 0; program[i] && len + 1 < sizeof(h->program); i++)
		len += (size_t)snprintf(h->program + len, sizeof(h->program) - len, "%s%s",
					i ? " " : "", program[i]);
}

int run_trace_begin(struct run_trace *t, char *const *program)
{
	struct trace_header header = {
		.magic = TRACE_MAGIC,
		.version = TRACE_VERSION,
		.record_size = sizeof(struct trace_record),
		.capacity = capacity(t),
		.origin = TRACE_OF_RUN,
		.page_size = UF_PAGE_SIZE,
	};
	bool good;
	int fd;

	if (!t->name) {
		if (t->size)
			complain("--trace-size is the size of a trace; name its file with "
				 "--trace");
		return t->size ? STATUS_USAGE : 0;
	}
	header.mono_ns = clock_ns(CLOCK_MONOTONIC);
	header.real_ns = clock_ns(CLOCK_REALTIME);
	note_program(&header, program);
	fd = open(t->name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	good = fd >= 0 && write(fd, &header, sizeof(header)) == sizeof(header) &&
	       ftruncate(fd, (off_t)file_size(header.capacity)) == 0 && realpath(t->name, t->path);
	if (!good)
		complain("--trace: '%s' cannot be written: %s", t->name, strerror(errno));
	if (fd >= 0)
		close(fd);
	return good ? 0 : STATUS_USAGE;
}

/*
 * A process that has outlived the program writes on, in what is left of the file: it must find
 * every further record beyond the capacity before the file is cut.
 */
static void cut(const struct run_trace *t, int fd, struct trace_file *file)
{
	struct trace_header *h = &file->header;
	uint64_t count = atomic_fetch_add(&h->count, OVER), room = h->capacity;
	uint64_t n = count < room ? count : room, ready = atomic_load(&h->ready);

	h->capacity = n;
	atomic_store(&h->count, count);
	if (count > room)
		complain("only the first %ju of %ju records are in '%s'; --trace-size makes room "
			 "for more",
			 (uintmax_t)room, (uintmax_t)count, t->name);
	else if (ready && count > ready)
		complain("'%s' ends early: there was no room on its disk for more than %ju "
			 "records",
			 t->name, (uintmax_t)ready);
	if (ftruncate(fd, (off_t)file_size(n)) != 0)
		complain("'%s' keeps room for more records: %s", t->name, strerror(errno));
}

void run_trace_finish(const struct run_trace *t)
{
	struct trace_file *file = MAP_FAILED;
	int fd;

	if (!t->path[0])
		return;
	fd = open(t->path, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && lseek(fd, 0, SEEK_END) >= (off_t)sizeof(*file))
		file = mmap(NULL, sizeof(*file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (file == MAP_FAILED || file->header.magic != TRACE_MAGIC)
		complain("the trace in '%s' is gone", t->name);
	else
		cut(t, fd, file);
	if (file != MAP_FAILED)
		munmap(file, sizeof(*file));
	if (fd >= 0)
		close(fd);
}
