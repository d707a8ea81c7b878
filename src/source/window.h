/*
 * window.h - how many prefetches to have under way at a server: as few as still fill the way there.
 * More only wait for one another in queues, and who waits for a page then waits in them too.
 *
 * What one takes when nothing queues is the least that was seen; when most take much longer, the
 * window shrinks, and otherwise it grows.
 */
#ifndef UF_SOURCE_WINDOW_H
#define UF_SOURCE_WINDOW_H

#include <stdint.h>
#include <time.h>

struct window {
	unsigned now, least, most;
	int score;
	uint64_t best; /* ns */
};

#define WINDOW_SLACK 500000u /* ns: what scheduling takes on busy machines */

static inline uint64_t window_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static inline void window_init(struct window *w, unsigned least, unsigned most)
{
	w->most = most;
	w->least = least < most ? least : most;
	w->now = w->least + (w->most - w->least) / 4;
	w->score = 0;
	w->best = UINT64_MAX;
}

/* One that has succeeded. */
static inline void window_took(struct window *w, uint64_t ns)
{
	if (ns < w->best)
		w->best = ns;
	else
		w->best += (ns - w->best) / 4096; /* the way may have become longer */
	w->score += ns > w->best + w->best / 2 + WINDOW_SLACK ? -1 : 1;
	/* About once for all that are under way. */
	if (w->score <= -(int)w->now / 2) {
		w->score = 0;
		w->now -= w->now / 8 + 1;
		w->now = w->now > w->least ? w->now : w->least;
	} else if (w->score >= (int)w->now / 2) {
		w->score = 0;
		w->now += w->now < w->most;
	}
}

#endif
