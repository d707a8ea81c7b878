/*
 * events.c - which handlers are to be told of a change to a range, and telling them once the locks
 * are gone.
 */
#include "mm/events.h"

static bool known(const struct mm_told *told, uf_ref handler)
{
	for (uint32_t i = 0; i < told->n; i++)
		if (told->handler[i] == handler)
			return true;
	return false;
}

void mm_tell(struct mm_told *told, uf_ref handler, enum mm_event event)
{
	if (!handler || told->n == MM_TOLD_MAX || known(told, handler) ||
	    !mm_handler->wants(handler, event))
		return;
	mm_handler->hold(handler);
	mm_handler->changing(handler);
	told->handler[told->n++] = handler;
}

void mm_tell_range(struct mm_space *space, struct mm_told *told, uint64_t start, uint64_t end,
		   enum mm_event event)
{
	uint32_t i = mm_area_index(space, start);
	struct mm_area *a;

	for (; (a = mm_area_at(space, i)) != NULL && a->start < end; i++)
		mm_tell(told, a->handler, event);
}

void mm_untell(struct mm_told *told)
{
	for (uint32_t i = 0; i < told->n; i++) {
		mm_handler->unchanging(told->handler[i]);
		mm_handler->release(told->handler[i]);
	}
	told->n = 0;
}

void mm_told(struct mm_space *space, struct mm_told *told, enum mm_event event, uint64_t a,
	     uint64_t b, uint64_t c, const struct mach_entry *entry)
{
	for (uint32_t i = 0; i < told->n; i++) {
		mm_handler->event(told->handler[i], event, a, b, c, entry);
		mm_handler->release(told->handler[i]);
		mm_stat_add(space->stats, MM_STAT_EVENTS, 1);
	}
	told->n = 0;
}
