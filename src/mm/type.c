/*
 * type.c - what all memory types share: finding one, its advertised ioctls, the named defaults.
 */
#include "mm/mm.h"

#include <userfault/abi.h>

const struct mm_type *mm_type_for(const struct mach_vma *vma)
{
	for (unsigned i = 0; i < mm_types_count; i++)
		if (mm_types[i]->kinds & 1u << vma->kind &&
		    mm_types[i]->page_shift == vma->page_shift)
			return mm_types[i];
	return NULL;
}

uint64_t mm_type_ops_mask(const struct mm_type *type, uint32_t modes)
{
	const bool feigns = type->flags & MM_TYPE_FEIGNS;
	/* Waking and poisoning need no help from the type: a marker is an entry. */
	uint64_t mask = 1ull << UF_NR_WAKE | 1ull << UF_NR_POISON;

	if (type->alloc || feigns)
		mask |= 1ull << UF_NR_COPY;
	if ((type->alloc && type->zero) || feigns)
		mask |= 1ull << UF_NR_ZEROPAGE;
	if (type->move || feigns)
		mask |= 1ull << UF_NR_MOVE;
	if (type->map && (modes & MM_MODE_MINOR))
		mask |= 1ull << UF_NR_CONTINUE;
	if (modes & MM_MODE_WP)
		mask |= 1ull << UF_NR_WRITEPROTECT;
	if (modes & MM_MODE_RWP)
		mask |= 1ull << UF_NR_RWPROTECT;
	return mask;
}

int mm_default_lookup_none(const struct mm_view *v, uint64_t page)
{
	(void)v;
	(void)page;
	return 0;
}

int mm_default_insert_none(const struct mm_view *v, uint64_t page, uint64_t n)
{
	(void)v;
	(void)page;
	(void)n;
	return 0;
}

int mm_default_zero(const struct mm_view *v, uint64_t page, uint64_t n)
{
	return mach_frames_zero(&v->span, page, n);
}

int mm_default_move_copy(const struct mm_view *dst, uint64_t dpage, const struct mm_view *src,
			 uint64_t spage, uint64_t n)
{
	return mach_frames_move(&dst->span, dpage, &src->span, spage, n);
}

void mm_default_remove(const struct mm_view *v, uint64_t page, uint64_t n)
{
	mach_frames_drop(&v->span, page, n);
}
