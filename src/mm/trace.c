/* trace.c - probes, and records of a trace: a count and five words in shared memory. */
#include "mm/trace.h"

#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#else
#define DTRACE_PROBE2(...) (void)0
#define DTRACE_PROBE3(...) (void)0
#define DTRACE_PROBE4(...) (void)0
#endif

struct trace_file *mm_tracing;
struct mm_tracer mm_tracer;

struct trace_record *mm_trace_claim(void)
{
	struct trace_file *file = mm_tracing;
	struct trace_header *h = &file->header;
	uint64_t i = atomic_fetch_add_explicit(&h->count, 1, memory_order_relaxed);

	if (i >= h->capacity ||
	    (i >= atomic_load_explicit(&h->ready, memory_order_relaxed) && !mm_tracer.room(i)))
		return NULL;
	return &file->record[i];
}

static void write_record(enum trace_kind kind, const struct trace_record *fields)
{
	struct trace_record *r;

	mm_tracer.about(fields->thread, kind == TRACE_FAULT ? fields->arg : 0, fields->time);
	r = mm_trace_claim();
	if (!r)
		return;
	r->time = fields->time;
	r->addr = fields->addr;
	r->arg = fields->arg;
	r->process = mm_tracer.process;
	r->thread = fields->thread;
	r->value = fields->value;
	r->flags = fields->flags;
	trace_finish(r, kind);
}

static uint32_t acting(uint32_t thread)
{
	return thread ? thread : mach_tid();
}

/* What took from `began` until now. */
static void write_done(enum trace_kind kind, uint32_t thread, uint64_t began, uint64_t addr,
		       uint64_t len, uint32_t flags)
{
	uint64_t now = mach_now();

	if (!began)
		began = now;
	write_record(kind, &(struct trace_record){.time = began,
						  .addr = addr,
						  .arg = len,
						  .thread = acting(thread),
						  .value = trace_span(now - began),
						  .flags = (uint16_t)flags});
}

/* ---- Faults ------------------------------------------------------------------------------------
 */

static uint32_t access_flags(const struct mm_access *access)
{
	return (access->write ? TRACE_WRITE : 0) | (access->exec ? TRACE_EXEC : 0) |
	       (access->kernel ? TRACE_KERNEL : 0);
}

uint64_t mm_trace_fault_begin(const struct mm_access *access)
{
	DTRACE_PROBE3(userfault, fault__begin, access->addr, (uint64_t)access_flags(access),
		      access->ip);
	return mm_trace_now();
}

void mm_trace_fault(const struct mm_access *access, uint64_t began, uint64_t took, uint32_t flags)
{
	uint64_t now = began;

	flags |= access_flags(access);
	if (mm_tracing && !took) {
		now = mach_now();
		took = began ? now - began : 0;
	}
	DTRACE_PROBE4(userfault, fault__end, access->addr, (uint64_t)flags, access->ip, took);
	if (!mm_tracing)
		return;
	write_record(TRACE_FAULT, &(struct trace_record){.time = began ? began : now,
							 .addr = access->addr,
							 .arg = access->ip,
							 .thread = mach_tid(),
							 .value = trace_span(took),
							 .flags = (uint16_t)flags});
}

/* ---- What is done about them -------------------------------------------------------------------
 */

void mm_trace_message(uint32_t thread, uint64_t posted, uint64_t addr, uint64_t flags)
{
	DTRACE_PROBE4(userfault, message, addr, flags, mach_now() - posted, (uint64_t)thread);
	if (mm_tracing)
		write_done(TRACE_MESSAGE, thread, posted, addr, 0, 0);
}

void mm_trace_fill(uint32_t thread, uint64_t began, uint64_t addr, uint64_t len,
		   enum trace_fill how)
{
	DTRACE_PROBE4(userfault, fill, addr, len, (uint64_t)how, (uint64_t)thread);
	if (mm_tracing)
		write_done(TRACE_FILL, thread, began, addr, len, how);
}

void mm_trace_wake(uint32_t thread, uint64_t addr, uint64_t len)
{
	DTRACE_PROBE3(userfault, wake, addr, len, (uint64_t)thread);
	if (mm_tracing)
		write_done(TRACE_WAKE, thread, 0, addr, len, 0);
}

void mm_trace_fetch(uint64_t began, uint64_t addr, uint64_t len, bool store)
{
	DTRACE_PROBE3(userfault, fetch, addr, len, (uint64_t)store);
	if (mm_tracing)
		write_done(TRACE_FETCH, 0, began, addr, len, store ? TRACE_OWN_STORE : 0);
}

void mm_trace_evict(uint64_t addr, uint64_t len)
{
	DTRACE_PROBE2(userfault, evict, addr, len);
	if (mm_tracing)
		write_done(TRACE_EVICT, 0, 0, addr, len, 0);
}

void mm_trace_range(enum trace_kind kind, uint32_t thread, uint64_t began, uint64_t addr,
		    uint64_t len, uint32_t value_or_flags)
{
	if (!mm_tracing)
		return;
	if (kind == TRACE_RANGE)
		write_record(kind, &(struct trace_record){.time = mach_now(),
							  .addr = addr,
							  .arg = len,
							  .thread = acting(thread),
							  .value = value_or_flags});
	else
		write_done(kind, thread, began, addr, len, value_or_flags);
}
