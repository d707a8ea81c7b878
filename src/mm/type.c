/*
 * type.c - what all memory types share: finding one, its advertised ioctls, the named defaults.
 */
#include "mm/mm.h"

#include <userfault/abi.h>

const struct mm_type *mm_type_for(enum mach_vma_kind kind)
{
	for (unsigned i = 0; i < mm_types_count; i++)
		if (mm_types[i]->kind == kind)
			return mm_types[i];
	return NULL;
}

uint64_t mm_type_ops_mask(const struct mm_type *type, uint32_t modes)
{
	/* Waking and poisoning need no help from the type: a marker is an entry. */
	uint64_t mask = 1ull << UF_NR_WAKE | 1ull << UF_NR_POISON;

	if (type->alloc)
		mask |= 1ull << UF_NR_COPY;
	if (type->alloc && type->zero)
		mask |= 1ull << UF_NR_ZEROPAGE;
	if (type->move)
		mask |= 1ull << UF_NR_MOVE;
	if (type->map && (modes & MM_MODE_MINOR))
		mask |= 1ull << UF_NR_CONTINUE;
	if (modes & MM_MODE_WP)
		mask |= 1ull << UF_NR_WRITEPROTECT;
	if (modes & MM_MODE_RWP)
		mask |= 1ull << UF_NR_RWPROTECT;
	return mask;
}

bool mm_default_lookup_none(struct mm_table *table, uint64_t page)
{
	(void)table;
	(void)page;
	return false;
}

int mm_default_insert_none(struct mm_table *table, uint64_t page)
{
	(void)table;
	(void)page;
	return 0;
}

void mm_default_zero(struct mm_table *table, uint64_t page, uint64_t n)
{
	mach_frames_zero(&table->map, page, n);
}

int mm_default_move_copy(struct mm_table *dst, uint64_t dpage, struct mm_table *src, uint64_t spage,
			 uint64_t n)
{
	mach_frames_move(&dst->map, dpage, &src->map, spage, n);
	return 0;
}
