/* record.c - a fault becomes a record: a count and three words in shared memory, no system call. */
#include "mm/record.h"

#include "mm/mm.h"

struct mm_record_file *mm_recording;

void mm_record_access(const struct mm_access *access)
{
	struct mm_record_file *file = mm_recording;
	uint64_t i = atomic_fetch_add_explicit(&file->header.count, 1, memory_order_relaxed);
	uint64_t flags = (access->write ? MM_RECORD_WRITE : 0) |
			 (access->exec ? MM_RECORD_EXEC : 0) |
			 (access->kernel ? MM_RECORD_KERNEL : 0);

	if (i >= file->header.capacity)
		return;
	file->record[i] = (struct mm_record){
		.page = (access->addr & UF_PAGE_MASK) | flags,
		.space = mach_tgid(),
		.us = (uint32_t)(mach_now() / 1000),
	};
}
