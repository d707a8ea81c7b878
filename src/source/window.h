/*
 * window.h - how many prefetches to have under way at a server: as few as still fill the way there.
 * More only wait for one another in queues, and who waits for a page then waits in them too.
 *
 * What one takes when nothing queues is the least that was seen; when most take longer than that,
 * and than what is the machine's doing, the window shrinks, and otherwise it grows. Most rather
 * than their mean: where others have the CPUs, few take very long. Now and then it becomes small,
 * so that the queue runs dry and the least is seen again, as the way may have become another.
 */
#ifndef UF_SOURCE_WINDOW_H
#define UF_SOURCE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define WINDOW_SLACK 300000u	 /* ns: what scheduling takes on busy machines */
#define WINDOW_FRESH 5000000000u /* ns: what is older is not believed */

struct window {
	unsigned now, least, most;
	int score;
	uint64_t best, before; /* ns that one took at least: lately, and in the time before that */
	uint64_t since;	       /* when `before` was all that was known */
};

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
	w->now = 2 * least < most ? 2 * least : most;
	w->score = 0;
	w->best = w->before = UINT64_MAX;
	w->since = window_clock();
}

/* One that was asked for at `begun` has come. */
static inline void window_took(struct window *w, uint64_t begun)
{
	uint64_t now = window_clock(), ns = now - begun, best;

	w->best = ns < w->best ? ns : w->best;
	best = w->best < w->before ? w->best : w->before;
	w->score += ns > best + best / 4 + WINDOW_SLACK ? -1 : 1;
	/* About once for all that are under way. */
	if (w->score <= -(int)w->now / 2) {
		w->score = 0;
		w->now -= w->now / 8 + 1;
		w->now = w->now > w->least ? w->now : w->least;
	} else if (w->score >= (int)w->now / 2) {
		w->score = 0;
		w->now += w->now < w->most;
	}
	if (now - w->since > WINDOW_FRESH) {
		w->since = now;
		w->before = w->best;
		w->best = UINT64_MAX;
		w->now = w->least;
	}
}

#endif
