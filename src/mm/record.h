/*
 * record.h - a record of faults, for replays (userfault replay).
 *
 * The file is a header and an array of records in the byte order of the machine. Processes map it
 * shared and claim records by counting up; so `count` may exceed `capacity`, and what lies beyond
 * was not recorded. A record that was claimed and not written, by a process that was killed, is
 * all zero.
 */
#ifndef UF_MM_RECORD_H
#define UF_MM_RECORD_H

#include <stdatomic.h>
#include <stdint.h>

#define MM_RECORD_MAGIC	  0x4543415254465555ull /* "UUFTRACE" */
#define MM_RECORD_VERSION 1u

/* Low bits of a record's page. */
#define MM_RECORD_WRITE	 1u
#define MM_RECORD_EXEC	 2u
#define MM_RECORD_KERNEL 4u /* by a system call */

struct mm_record_header {
	uint64_t magic;
	uint32_t version;
	uint32_t page_shift; /* of the pages' size */
	uint64_t capacity;   /* records that the file has room for */
	_Atomic uint64_t count;
	uint64_t reserved[4];
};

struct mm_record {
	uint64_t page;	/* address of the page, and MM_RECORD_* */
	uint32_t space; /* the process: what other processes have at the same address is not it */
	uint32_t us;	/* when, in microseconds; wraps */
};

struct mm_record_file {
	struct mm_record_header header;
	struct mm_record record[];
};

/* Where faults are recorded; NULL: nowhere. Set by the front before anything is managed. */
extern struct mm_record_file *mm_recording;

struct mm_access;
void mm_record_access(const struct mm_access *access);

/* A fault of managed memory has been dealt with. */
static inline void mm_record_fault(const struct mm_access *access)
{
	if (mm_recording)
		mm_record_access(access);
}

#endif
