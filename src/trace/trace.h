/*
 * trace.h - a trace of faults and of what was done about them: what `userfault run --trace`,
 * `userfault serve --trace` and programs with a pager write, and `userfault trace` reads.
 *
 * The file is a header and an array of records, in the byte order of the machine, sparse while it
 * is written. Writers map it shared and claim records by counting up: `count` may exceed
 * `capacity`, and what lies beyond was not recorded. A record's kind is written last; one that was
 * claimed and never finished, by a process that was killed, has kind 0. Records are nearly, not
 * exactly, in the order of time. Who ends a trace cuts the file to its length.
 *
 * In a trace of a run:
 *   - `process` is the pid of the process whose memory it is, `thread` the id of the thread that
 *     did it: of another process, where that filled or read through its descriptor. A pid that
 *     calls exec goes on under another name, with other modules: a second PROCESS record.
 *   - A process and a thread are named before the first record that they are in, once more when
 *     their name has changed; modules before the first fault at one of their instructions. What
 *     covers an instruction is the module of that process that was recorded last before the fault.
 *     Code in no file has none. A module's number is that of its record, and so unique in the file.
 *   - An access that needs more than one step (it is fetched, then protected) is a FAULT for each.
 *     One that the memory's protection forbids (SIGSEGV) has none.
 *   - A FETCH is a page that came back to addr, with arg bytes; TRACE_OWN_STORE says from where.
 *
 * Freestanding: the mm writes it in the trap handler.
 */
#ifndef UF_TRACE_TRACE_H
#define UF_TRACE_TRACE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_MAGIC   0x3130454341525455ull /* "UTRACE01" */
#define TRACE_VERSION 1u

enum trace_origin {
	TRACE_OF_RUN = 1, /* process is a pid, addresses are the program's */
	TRACE_OF_PAGER, /* process is the number of a guest; addresses are the guest's process's */
};

struct trace_header {
	uint64_t magic;
	uint32_t version;
	uint32_t record_size;
	uint64_t capacity; /* records that the file has room for */
	_Atomic uint64_t count;
	uint64_t mono_ns; /* CLOCK_MONOTONIC when it began */
	uint64_t real_ns; /* and CLOCK_REALTIME */
	uint32_t origin;  /* enum trace_origin */
	uint32_t page_size;
	char program[192];	/* what was run or served, ends with 0 */
	_Atomic uint64_t ready; /* the writers': records that the disk has room for for certain */
	uint64_t reserved[7];
};

enum trace_kind {
	TRACE_NONE, /* never finished */

	/* What things are called. They may come later than what refers to them. */
	TRACE_PROCESS, /* process's name in text[] */
	TRACE_THREAD,  /* thread's name in text[] */
	TRACE_MODULE,  /* code at [addr, addr + arg) from offset `time` of a file; value: its number
			*/
	TRACE_TEXT,  /* of module `thread`'s path: up to 24 bytes in text[], from byte `value` on */
	TRACE_RANGE, /* [addr, addr + arg) was registered; value: UFFDIO_REGISTER_MODE_* */
	TRACE_UNRANGE, /* ... unregistered, or unmapped */

	/* What happened. `time` is when it began, `value` how long it took, in ns, at most 2^32
	 * - 1. */
	TRACE_FAULT,   /* addr was touched by thread, at the instruction arg (0: not known) */
	TRACE_MESSAGE, /* thread read the message of the fault at addr; value: how long it lay there
			*/
	TRACE_FILL,    /* [addr, addr + arg) was filled by thread */
	TRACE_WAKE,    /* [addr, addr + arg): who waits there goes on */
	TRACE_PROTECT, /* [addr, addr + arg) was write-protected or, TRACE_LIFTED, released */
	TRACE_REMOVE,  /* [addr, addr + arg) is gone */
	TRACE_EVICT,   /* [addr, addr + arg) left memory */
	TRACE_FETCH,   /* arg bytes came from offset addr of source `thread` (a run: see above) */
	TRACE_KINDS,
};

/* flags of a FAULT: why, in the low four bits (enum trace_why), and how. */
enum trace_why {
	TRACE_MISSING,
	TRACE_WP,
	TRACE_MINOR,
	TRACE_RWP,
	TRACE_OPENED,	/* present and allowed: nobody was asked (run only) */
	TRACE_ORDINARY, /* populated, no handler */
	TRACE_ASYNC,	/* protection lifted, no handler */
	TRACE_BACK,	/* came back from swap */
};
#define TRACE_WHY	0x000fu
#define TRACE_WRITE	0x0010u
#define TRACE_EXEC	0x0020u
#define TRACE_KERNEL	0x0040u /* by a system call */
#define TRACE_SIGNALLED 0x0080u /* it ended in SIGBUS or SIGSEGV; if nobody was asked, ORDINARY */
#define TRACE_RETRIED	0x0100u /* it was interrupted; the access comes again */

/* flags of a FILL: how. */
enum trace_fill {
	TRACE_COPY,
	TRACE_ZEROPAGE,
	TRACE_CONTINUE,
	TRACE_MOVE,
	TRACE_POISON,
};
/* flags of PROTECT */
#define TRACE_LIFTED 0x1u
/* flags of FILL and FETCH: nobody had asked for it yet. FETCH: it failed. */
#define TRACE_AHEAD  0x10u
#define TRACE_FAILED 0x20u
/* flags of FETCH in a run: not from the swap store, but from that of the memory's own type. */
#define TRACE_OWN_STORE 0x40u

struct trace_record {
	union {
		struct {
			uint64_t time; /* CLOCK_MONOTONIC, ns */
			uint64_t addr;
			uint64_t arg;
		};
		char text[24]; /* ends with 0 if shorter */
	};
	uint32_t process;
	uint32_t thread; /* 0: not known */
	uint32_t value;
	uint16_t flags;
	_Atomic uint16_t kind; /* written last */
};
_Static_assert(sizeof(struct trace_record) == 40, "the format of the file");

struct trace_file {
	struct trace_header header;
	struct trace_record record[];
};

/* The next record to write, or NULL: there is none left. */
static inline struct trace_record *trace_claim(struct trace_file *file)
{
	uint64_t i = atomic_fetch_add_explicit(&file->header.count, 1, memory_order_relaxed);

	return i < file->header.capacity ? &file->record[i] : NULL;
}

static inline void trace_finish(struct trace_record *record, enum trace_kind kind)
{
	atomic_store_explicit(&record->kind, (uint16_t)kind, memory_order_release);
}

static inline uint32_t trace_span(uint64_t ns)
{
	return ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

#endif
