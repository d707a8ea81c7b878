/*
 * trace.c - the trace of a run: the file, and what the processes, threads and modules in it are
 * called.
 *
 * Names are written when a record is about to need them, which may be in the trap handler, with
 * locks of the mm held: raw system calls, memory of ours, and one lock that nobody asks for
 * anything under. Tables tell what has been named; a place that is taken by another costs a look
 * more, and perhaps a name twice.
 */
#include "front/trace.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "front/front.h"
#include "mm/trace.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* Records that the disk is asked to have room for at a time. */
#define ROOM_RECORDS 4096u

/* A thread's name is looked at again when it is so old. */
#define NAME_STAYS_NS 500000000u

#define THREADS 1024u
#define PAGES	8192u
#define MODULES 1024u
#define NEAR	8u /* places that one may have in a table */

/* Code that is in no file, as compilers at run time make it, is looked for so often. */
#define VAIN_MOST 64u

static char path[4096];

/* Filled in under the lock, looked at without. */
static struct {
	struct mach_lock lock;
	bool process; /* it has been named */
	struct {
		_Atomic uint32_t tid;
		uint32_t name; /* a sum over it */
		_Atomic uint64_t when;
	} thread[THREADS];
	/* Pages of code whose module is known, or known to be none. */
	_Atomic uint64_t page[PAGES];
	struct {
		uint64_t start, end, offset;
	} module[MODULES];
	uint32_t nmodules;
	uint32_t vain; /* looks at all modules that found no new one */
} known;

/* ---- Small files of the kernel -----------------------------------------------------------------
 */

static long open_file(const char *name)
{
	return SYS(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
}

/* The name in /proc/ID/comm, without its newline; "" if nobody has that number. */
static void read_name(uint32_t id, char name[24])
{
	char file[32] = "/proc/", digits[12];
	size_t n = 0, at = 6;
	long fd, got;

	memset(name, 0, 24);
	do {
		digits[n++] = (char)('0' + id % 10);
		id /= 10;
	} while (id);
	while (n)
		file[at++] = digits[--n];
	memcpy(file + at, "/comm", 6);
	fd = open_file(file);
	if (fd < 0)
		return;
	got = SYS(SYS_read, fd, name, 24);
	SYS(SYS_close, fd);
	if (got > 0 && name[got - 1] == '\n')
		name[got - 1] = 0;
}

/* ---- Records that name something ---------------------------------------------------------------
 */

static void write_text(enum trace_kind kind, uint32_t thread, uint32_t value, const char *text,
		       size_t len)
{
	struct trace_record *r = mm_trace_claim();

	if (!r)
		return;
	memset(r->text, 0, sizeof(r->text));
	memcpy(r->text, text, len);
	r->process = mm_tracer.process;
	r->thread = thread;
	r->value = value;
	r->flags = 0;
	trace_finish(r, kind);
}

static void name_process(void)
{
	char name[24];

	if (known.process)
		return;
	known.process = true;
	read_name(mm_tracer.process, name);
	write_text(TRACE_PROCESS, 0, 0, name, strnlen(name, sizeof(name)));
}

static uint32_t sum_of(const char name[24])
{
	uint32_t sum = 2166136261u;

	for (unsigned i = 0; i < 24; i++)
		sum = (sum ^ (unsigned char)name[i]) * 16777619u;
	return sum;
}

/* Its place in the table, or the one that it is to have. */
static unsigned place_of(uint32_t tid, bool *there)
{
	unsigned first = tid % THREADS, free = first;

	for (unsigned i = NEAR; i-- > 0;) {
		unsigned at = (first + i) % THREADS;
		uint32_t who = atomic_load_explicit(&known.thread[at].tid, memory_order_acquire);

		*there = who == tid;
		if (*there)
			return at;
		if (!who)
			free = at;
	}
	return free;
}

static void name_thread(uint32_t tid, uint64_t now)
{
	bool there;
	unsigned at = place_of(tid, &there);
	char name[24];
	uint32_t sum;

	read_name(tid, name);
	sum = sum_of(name);
	if (!name[0])
		sum = known.thread[at].name;
	if (!there || (sum != known.thread[at].name && name[0]))
		write_text(TRACE_THREAD, tid, 0, name, strnlen(name, sizeof(name)));
	known.thread[at].name = sum;
	atomic_store(&known.thread[at].when, now);
	atomic_store_explicit(&known.thread[at].tid, tid, memory_order_release);
}

static bool thread_known(uint32_t tid, uint64_t now)
{
	bool there;
	unsigned at = place_of(tid, &there);

	return there && now - atomic_load(&known.thread[at].when) < NAME_STAYS_NS;
}

/* ---- Modules -----------------------------------------------------------------------------------
 */

static bool page_known(uint64_t page)
{
	for (unsigned i = 0; i < NEAR; i++)
		if (atomic_load_explicit(&known.page[(page + i) % PAGES], memory_order_relaxed) ==
		    page)
			return true;
	return false;
}

static void know_page(uint64_t page)
{
	unsigned at = page % PAGES;

	for (unsigned i = 0; i < NEAR; i++)
		if (!atomic_load(&known.page[(page + i) % PAGES])) {
			at = (unsigned)((page + i) % PAGES);
			break;
		}
	atomic_store_explicit(&known.page[at], page, memory_order_relaxed);
}

struct mapping {
	uint64_t start, end, offset;
	bool exec;
	const char *path; /* ends with 0; "": none */
};

static uint64_t hex(const char **p)
{
	uint64_t value = 0;

	for (;; (*p)++) {
		char c = **p;

		if (c >= '0' && c <= '9')
			value = value << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (uint64_t)(c - 'a' + 10);
		else
			return value;
	}
}

static const char *skip_field(const char *p)
{
	while (*p && *p != ' ')
		p++;
	while (*p == ' ')
		p++;
	return p;
}

/* "start-end rwxp offset dev inode   path" */
static void parse_mapping(const char *line, struct mapping *m)
{
	const char *p = line;

	m->start = hex(&p);
	p += *p == '-';
	m->end = hex(&p);
	p += *p == ' ';
	m->exec = p[0] && p[1] && p[2] == 'x';
	p = skip_field(p);
	m->offset = hex(&p);
	p = skip_field(skip_field(p + (*p == ' ')));
	m->path = p;
}

static void write_module(const struct mapping *m)
{
	struct trace_record *r;
	size_t len = strlen(m->path), part;
	uint32_t number;

	known.module[known.nmodules].start = m->start;
	known.module[known.nmodules].end = m->end;
	known.module[known.nmodules++].offset = m->offset;
	r = mm_trace_claim();
	if (!r)
		return;
	number = (uint32_t)(r - mm_tracing->record);
	r->time = m->offset;
	r->addr = m->start;
	r->arg = m->end - m->start;
	r->process = mm_tracer.process;
	r->thread = 0;
	r->value = number;
	r->flags = 0;
	trace_finish(r, TRACE_MODULE);
	for (size_t at = 0; at < len; at += part) {
		part = len - at < sizeof(r->text) ? len - at : sizeof(r->text);
		write_text(TRACE_TEXT, number, (uint32_t)at, m->path + at, part);
	}
}

static bool module_known(const struct mapping *m)
{
	for (uint32_t i = 0; i < known.nmodules; i++)
		if (known.module[i].start == m->start && known.module[i].end == m->end &&
		    known.module[i].offset == m->offset)
			return true;
	return known.nmodules == MODULES;
}

static void look_at_mapping(const char *line)
{
	struct mapping m;

	parse_mapping(line, &m);
	if (m.exec && m.path[0] && !module_known(&m))
		write_module(&m);
}

/* Lines longer than the buffer have no path that anybody could name. */
static void look_at_modules(void)
{
	static char buf[8192];
	long fd = open_file("/proc/self/maps"), n;
	uint32_t before = known.nmodules;
	size_t have = 0;
	char *line, *end;

	if (fd < 0)
		return;
	while ((n = SYS(SYS_read, fd, buf + have, sizeof(buf) - 1 - have)) > 0) {
		have += (size_t)n;
		buf[have] = 0;
		for (line = buf; (end = strchr(line, '\n')) != NULL; line = end + 1) {
			*end = 0;
			look_at_mapping(line);
		}
		have -= (size_t)(line - buf);
		memmove(buf, line, have);
		if (have == sizeof(buf) - 1)
			have = 0;
	}
	SYS(SYS_close, fd);
	known.vain += known.nmodules == before;
}

static bool in_module(uint64_t ip)
{
	for (uint32_t i = 0; i < known.nmodules; i++)
		if (ip >= known.module[i].start && ip < known.module[i].end)
			return true;
	return false;
}

static void name_module(uint64_t ip)
{
	if (page_known(ip >> UF_PAGE_SHIFT))
		return;
	if (!in_module(ip) && known.vain < VAIN_MOST)
		look_at_modules();
	know_page(ip >> UF_PAGE_SHIFT);
}

/* ---- For the mm --------------------------------------------------------------------------------
 */

static void about(uint32_t thread, uint64_t ip, uint64_t now)
{
	bool page = !ip || page_known(ip >> UF_PAGE_SHIFT);

	if (likely(page && thread_known(thread, now)))
		return;
	mach_lock(&known.lock);
	name_process();
	if (!thread_known(thread, now))
		name_thread(thread, now);
	if (!page)
		name_module(ip);
	mach_unlock(&known.lock);
}

/*
 * A page of a file that the disk has no room for would be a SIGBUS. A kernel that cannot say is
 * taken at its word later.
 */
static bool room(uint64_t i)
{
	struct trace_file *file = mm_tracing;
	uint64_t first = atomic_load(&file->header.ready);
	uint64_t last = i - i % ROOM_RECORDS + ROOM_RECORDS;
	uintptr_t start, end;
	long err;

	if (first > i)
		return true;
	if (last > file->header.capacity)
		last = file->header.capacity;
	start = (uintptr_t)&file->record[first] & UF_PAGE_MASK;
	end = ((uintptr_t)&file->record[last] + UF_PAGE_SIZE - 1) & UF_PAGE_MASK;
	err = SYS(SYS_madvise, start, end - start, MADV_POPULATE_WRITE);
	if (err && err != -EINVAL) {
		mm_tracing = NULL;
		return false;
	}
	while (first < last && !atomic_compare_exchange_weak(&file->header.ready, &first, last))
		;
	return true;
}

/* ---- Beginning ---------------------------------------------------------------------------------
 */

void trace_environment(void)
{
	const char *value = getenv("USERFAULT_TRACE");

	if (value && strlen(value) < sizeof(path))
		strcpy(path, value);
}

int trace_start(const char **why)
{
	struct trace_file *file;
	long fd, len, at = -EINVAL;

	if (!path[0] || mm_tracing)
		return 0;
	fd = SYS(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		*why = "the file for the trace cannot be opened";
		return (int)fd;
	}
	len = SYS(SYS_lseek, fd, 0, SEEK_END);
	if (len >= (long)sizeof(*file))
		at = SYS(SYS_mmap, 0, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	SYS(SYS_close, fd);
	file = (struct trace_file *)at;
	if (at < 0 || file->header.magic != TRACE_MAGIC || file->header.version != TRACE_VERSION ||
	    file->header.record_size != sizeof(struct trace_record) ||
	    file->header.capacity > ((uint64_t)len - sizeof(*file)) / sizeof(struct trace_record)) {
		*why = "the file for the trace is none";
		return -EINVAL;
	}
	mm_tracer = (struct mm_tracer){(uint32_t)SYS(SYS_getpid), room, about};
	mm_tracing = file;
	/* Most of what there is to name, while nobody waits for it. */
	mach_lock(&known.lock);
	name_process();
	look_at_modules();
	mach_unlock(&known.lock);
	return 0;
}

void trace_child(void)
{
	if (!mm_tracing)
		return;
	memset(&known, 0, sizeof(known));
	mm_tracer.process = (uint32_t)SYS(SYS_getpid);
}
