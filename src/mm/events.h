/*
 * events.h - telling handlers of a change: collected with the space locked, sent without locks.
 */
#ifndef UF_MM_EVENTS_H
#define UF_MM_EVENTS_H

#include "mm/internal.h"

/* More userfaultfds than this in one munmap go untold; a range has one in practice. */
#define MM_TOLD_MAX 64

struct mm_told {
	uint32_t n;
	uf_ref handler[MM_TOLD_MAX];
};

/* Note one handler, or all of a range's, if they want the event: their fills fail from now on. */
void mm_tell(struct mm_told *told, uf_ref handler, enum mm_event event);
void mm_tell_range(struct mm_space *space, struct mm_told *told, uint64_t start, uint64_t end,
		   enum mm_event event);

/* Nothing came of it: let fills go on. */
void mm_untell(struct mm_told *told);

/*
 * Send the event to all that were noted, wait until each has read it. No locks held. entry: as
 * mm_munmap.
 */
void mm_told(struct mm_space *space, struct mm_told *told, enum mm_event event, uint64_t a,
	     uint64_t b, uint64_t c, const struct mach_entry *entry);

#endif
