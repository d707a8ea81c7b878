#include "mm/entry.h"

bool mm_entry_valid(mm_entry e)
{
	uint64_t low = e & ((1ull << MM_VALUE_SHIFT) - 1);
	const uint64_t page_flags = MM_WP | MM_RWP | MM_SOFTDIRTY;

	switch (mm_kind(e)) {
	case MM_EMPTY:
		return e == 0;
	case MM_PRESENT:
		return (low & ~(MM_KIND_MASK | page_flags | MM_BUSY | MM_REF | MM_COPY)) == 0;
	case MM_SWAP:
		return (low & ~(MM_KIND_MASK | page_flags)) == 0;
	case MM_MARKER:
		return e == mm_make_marker(MM_WP) || e == mm_make_marker(MM_POISON);
	}
	return false;
}
