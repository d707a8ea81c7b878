/*
 * trace.h - what is to be seen of faults from outside: records of a trace (trace/trace.h), and USDT
 * probes.
 *
 * Each of these is called where the thing has just happened, between mach_enter and mach_leave,
 * with or without locks. Without a trace it is a probe, which is a no-op until somebody attaches,
 * and a branch.
 *
 * The probes' provider is `userfault`; readelf -n lists them. Arguments, all of 64 bits:
 *
 *   fault__begin  address, TRACE_WRITE | TRACE_EXEC | TRACE_KERNEL, instruction (0: not known)
 *   fault__end    address, flags as in a trace, instruction, ns that it took (0: nobody was asked,
 *                 and no trace is written: no time was taken)
 *   message       address, UFFD_PAGEFAULT_FLAG_*, ns that it lay there, thread that reads it
 *   fill          address, bytes, enum trace_fill, thread that fills
 *   wake          address, bytes, thread that wakes
 *   fetch         address, bytes, 0 from the swap store, 1 from the type's own
 *   evict         address, bytes
 *
 * Only what happened in the process that the memory belongs to fires a probe: that is where other
 * processes' requests are carried out. A thread is 0 where it is the calling one.
 */
#ifndef UF_MM_TRACE_H
#define UF_MM_TRACE_H

#include "mm/mm.h"
#include "trace/trace.h"

/* Where the records go; NULL: nowhere. Set by the front before anything is managed. */
extern struct trace_file *mm_tracing;

struct mm_tracer {
	uint32_t process;
	/* May record i be written, where nobody has found out yet? */
	bool (*room)(uint64_t i);
	/* A record is about to name these; 0: no such. */
	void (*about)(uint32_t thread, uint64_t ip, uint64_t now);
};
extern struct mm_tracer mm_tracer;

/* The time, if it is wanted; 0. */
static inline uint64_t mm_trace_now(void)
{
	return mm_tracing ? mach_now() : 0;
}

/* The next record of the trace, with who it is about filled in; NULL: there is no room. */
struct trace_record *mm_trace_claim(void);

/* mm_trace_now, for a fault that begins. */
uint64_t mm_trace_fault_begin(const struct mm_access *access);
/* began 0: it is not known when. flags as in a trace, but for what `access` tells. */
void mm_trace_fault(const struct mm_access *access, uint64_t began, uint64_t took, uint32_t flags);

/* thread 0: the calling one. `began` is mm_trace_now() from before it. */
void mm_trace_message(uint32_t thread, uint64_t posted, uint64_t addr, uint64_t flags);
void mm_trace_fill(uint32_t thread, uint64_t began, uint64_t addr, uint64_t len,
		   enum trace_fill how);
void mm_trace_wake(uint32_t thread, uint64_t addr, uint64_t len);
void mm_trace_fetch(uint64_t began, uint64_t addr, uint64_t len, bool store);
void mm_trace_evict(uint64_t addr, uint64_t len);

/* TRACE_PROTECT, TRACE_REMOVE, TRACE_RANGE, TRACE_UNRANGE. */
void mm_trace_range(enum trace_kind kind, uint32_t thread, uint64_t began, uint64_t addr,
		    uint64_t len, uint32_t value_or_flags);

#endif
