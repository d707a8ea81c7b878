/*
 * program.c - memory whose pages come from the program: its functions make them and save them. In
 * memory a page lives in its frame.
 *
 * It takes over no host mapping by itself; mm_manage makes its areas.
 */
#include "types/program.h"
#include "mm/mm.h"

#include <errno.h>

static const struct program_ops *ops;

void program_set_ops(const struct program_ops *given)
{
	ops = given;
}

/* The program's number of a page: after mremap a mapping may have several tables. */
static uint64_t number_of(const struct mm_table *table, uint64_t page)
{
	return table->file_page + page;
}

static int program_extend(struct mm_table *table, struct mm_table *like, uint64_t first,
			  uint64_t start, uint64_t end)
{
	table->owner = like->owner;
	table->file_page = number_of(like, first);
	return mm_frames_extend(table, like, first, start, end);
}

/* Every page is there for fetch to make, unless the mapping began empty. */
static int program_lookup(const struct mm_view *v, uint64_t page)
{
	(void)page;
	return !(v->table->owner & PROGRAM_EMPTY);
}

static long program_alloc(const struct mm_view *v, uint64_t page, uint64_t n)
{
	return program_lookup(v, page) ? -EEXIST : mm_frames_alloc(v, page, n);
}

static int program_fetch(const struct mm_view *v, uint64_t page, void *buf)
{
	return ops->fetch(v->table->owner, number_of(v->table, page), buf);
}

static int program_writeback(const struct mm_view *v, uint64_t page, const void *buf)
{
	return ops->writeback(v->table->owner, number_of(v->table, page), buf);
}

const struct mm_type mm_type_program = {
	.name = "program",
	.page_shift = UF_PAGE_SHIFT,
	.modes = MM_MODE_MISSING | MM_MODE_WP | MM_MODE_RWP,
	.flags = MM_TYPE_RECLAIM | MM_TYPE_MARK_EMPTY,
	.adopt = mm_frames_adopt,
	.extend = program_extend,
	.lookup = program_lookup,
	.alloc = program_alloc,
	.insert = mm_default_insert_none,
	.remove = mm_default_remove,
	.zero = mm_default_zero,
	.populate = mm_frames_populate,
	.move = mm_default_move_copy,
	.fetch = program_fetch,
	.writeback = program_writeback,
};
