/* frames.h - inside the simulated machine: frames named by a span. */
#ifndef UF_SIM_FRAMES_H
#define UF_SIM_FRAMES_H

#include "machine/sim/world.h"

/*
 * Fails the run unless pages [page, page + n) are of the map, whole granules, closed, and stand
 * where the span says, if it says anything.
 */
struct sim_map *sim_closed_pages(const struct mach_span *span, uint64_t page, uint64_t n);
/* The same for one page of FRAMES, which then may be written. */
struct sim_frame *sim_closed_frame(const struct mach_span *span, uint64_t page);
/* The page of the program that a span says shows `page`. */
struct sim_page *sim_span_page(const struct mach_span *span, uint64_t page);

#endif
