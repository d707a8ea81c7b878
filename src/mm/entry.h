/*
 * entry.h - the page-table entry: the one place that says what kinds there are.
 *
 *   EMPTY    nothing: never filled, or zapped. The whole word is 0.
 *   PRESENT  a page with contents; `value` is its frame: the page's index in its map.
 *   SWAP     a page with contents that stand elsewhere and come back on touch; `value` is the slot:
 *            MM_SLOT_ASIDE (the aside of an adopted map), MM_SLOT_TYPE (the type's own store), or
 *            one of the swap store's (from MACH_SWAP_FIRST on).
 *   MARKER   no page, but something to remember about its absence: WP (write-protected before it
 *            exists) or POISON (an access gets SIGBUS). Neither empty, nor present, nor swap.
 *
 * Flags WP, RWP and SOFTDIRTY are legal on PRESENT and SWAP, WP also on MARKER, POISON on MARKER
 * only, COPY, BUSY and REF on PRESENT only. A large page has the same entry for each of its base
 * pages. Every switch over kinds names all four and has no default, so that the compiler finds the
 * one that forgets a kind (-Werror=switch).
 */
#ifndef UF_MM_ENTRY_H
#define UF_MM_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

typedef uint64_t mm_entry;

enum mm_kind {
	MM_EMPTY = 0,
	MM_PRESENT = 1,
	MM_SWAP = 2,
	MM_MARKER = 3
};

#define MM_KIND_MASK   3ull
#define MM_WP	       (1ull << 2) /* uffd write-protected */
#define MM_RWP	       (1ull << 3) /* uffd read-write-protected */
#define MM_POISON      (1ull << 4)
#define MM_SOFTDIRTY   (1ull << 5)
#define MM_BUSY	       (1ull << 6) /* closed and on its way out; an access calls it back */
#define MM_REF	       (1ull << 7) /* opened since reclaim looked last */
#define MM_COPY	       (1ull << 8) /* of a private mapping of a file: surely not the file's page */
#define MM_VALUE_SHIFT 12

#define MM_SLOT_ASIDE 0
#define MM_SLOT_TYPE  1

static inline enum mm_kind mm_kind(mm_entry e)
{
	return (enum mm_kind)(e & MM_KIND_MASK);
}

static inline uint64_t mm_value(mm_entry e)
{
	return e >> MM_VALUE_SHIFT;
}

static inline mm_entry mm_make_present(uint64_t frame, uint64_t flags)
{
	return (frame << MM_VALUE_SHIFT) | flags | MM_PRESENT;
}

static inline mm_entry mm_make_swap(uint64_t slot, uint64_t flags)
{
	return (slot << MM_VALUE_SHIFT) | flags | MM_SWAP;
}

static inline mm_entry mm_make_marker(uint64_t flags)
{
	return flags | MM_MARKER;
}

/* Is e one of the words the comment above allows? For checks and tests. */
bool mm_entry_valid(mm_entry e);

#endif
