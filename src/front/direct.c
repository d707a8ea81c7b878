/*
 * direct.c - the library's calls that need no descriptor and no handler: filling and moving pages
 * anywhere, limits, options.
 */
#include <userfault/userfault.h>

#include "front/front.h"
#include "mm/direct.h"
#include "mm/reclaim.h"
#include "mm/trace.h"

#define EXPORT __attribute__((visibility("default")))

_Static_assert(UF_FILE_FAULTS == MM_OPTION_FILE_FAULTS && UF_MOVE_ANY == MM_OPTION_MOVE_ANY,
	       "options");

static bool valid_range(uint64_t addr, uint64_t len)
{
	return !((addr | len) & ~UF_PAGE_MASK) && len && addr < mach_task_size() &&
	       len <= mach_task_size() - addr;
}

EXPORT int uf_configure(unsigned flags)
{
	int err;

	if (flags & ~(UF_FILE_FAULTS | UF_MOVE_ANY))
		return -EINVAL;
	err = front_start();
	if (!err)
		atomic_store(&mm_space_self->options, flags);
	return err;
}

/* Registration is not looked at, so no change of mappings that a userfaultfd waits for is, either.
 */
static int always(uf_ref ctx)
{
	(void)ctx;
	return 0;
}

EXPORT ssize_t uf_mcopy_atomic(void *dst, const void *src, size_t len)
{
	struct mm_fill fill = {.source = MM_SOURCE_COPY,
			       .dst = (uintptr_t)dst,
			       .src = (uintptr_t)src,
			       .len = len,
			       .any = true};
	struct mach_entry entry;
	uint64_t done = 0;
	int err;

	if (!valid_range(fill.dst, len))
		return -EINVAL;
	if (fill.src >= mach_task_size() || len > mach_task_size() - fill.src)
		return -EFAULT;
	err = front_start();
	if (err)
		return err;
	mem_note_managed(fill.dst, len);
	mach_enter(&entry);
	err = mm_fill(mm_space_self, &fill, always, 0, &done);
	if (done)
		mm_wake(mm_space_self, fill.dst, done);
	mach_leave(&entry);
	return done ? (ssize_t)done : err;
}

EXPORT ssize_t uf_remap_pages(void *dst, void *src, size_t len)
{
	uint64_t to = (uintptr_t)dst, from = (uintptr_t)src, done = 0, began;
	struct mach_entry entry;
	int err;

	if (!valid_range(to, len) || !valid_range(from, len))
		return -EINVAL;
	err = front_start();
	if (err)
		return err;
	mem_note_managed(to, len);
	mem_note_managed(from, len);
	mach_enter(&entry);
	began = mm_trace_now();
	err = mm_move(mm_space_self, 0, to, from, len, false, NULL, &done);
	if (done)
		mm_trace_fill(0, began, to, done, TRACE_MOVE);
	if (done)
		mm_wake(mm_space_self, to, done);
	mach_leave(&entry);
	return done ? (ssize_t)done : err;
}

EXPORT int uf_limit(void *addr, size_t len, uint64_t bytes)
{
	uint64_t at = (uintptr_t)addr;
	struct mach_entry entry;
	int err;

	if ((at || len) && !valid_range(at, len))
		return -EINVAL;
	err = front_start();
	if (err)
		return err;
	mach_enter(&entry);
	if (len == 0)
		err = mm_limit_space(mm_space_self, bytes);
	else
		err = mm_one_table(mm_space_self, at, len);
	if (!err && len)
		err = mm_limit_area(mm_space_self, at, bytes);
	mach_leave(&entry);
	return err;
}
