/*
 * record.c - the order in which a guest first touches its pages.
 *
 * It ends by itself when the guest has what it needs: when the rate of its faults has fallen to a
 * small part of what it was, and stayed there.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "pager/internal.h"

#define PERIOD_NS     (250 * NS_PER_MS)
#define QUIET_PERIODS 8
#define QUIET_PART    50 /* of the most faults there were in a period: 2 % */
#define QUIET_FAULTS  8

static void flush_run(struct guest *g)
{
	struct record *r = &g->record;
	int err = r->len ? order_add(r->w, r->run, r->len) : 0;

	r->len = 0;
	if (!err)
		return;
	engine_say(g->e, ENGINE_ERROR, "%s: the recording cannot be written, and ends here: %s",
		   g->f->name, strerror(-err));
	r->failed = true;
}

static void period(void *arg)
{
	struct guest *g = arg;
	struct record *r = &g->record;
	uint64_t few = r->peak / QUIET_PART;

	flush_run(g);
	if (order_flush(r->w))
		r->failed = true;
	if (few < QUIET_FAULTS)
		few = QUIET_FAULTS;
	if (r->faults > r->peak)
		r->peak = r->faults;
	r->quiet = r->peak && r->faults <= few ? r->quiet + 1 : 0;
	r->faults = 0;
	if (r->failed || r->quiet >= QUIET_PERIODS) {
		record_end(g);
		engine_say(g->e, ENGINE_INFO, "%s: recorded %llu pages", g->f->name,
			   (unsigned long long)r->pages);
		return;
	}
	timer_set(g->e, &r->timer, PERIOD_NS);
}

int record_begin(struct guest *g, const char *path, char *why, size_t why_size)
{
	struct record *r = &g->record;
	int err = order_create(path, g->feed->s->size, &r->w);

	if (err) {
		snprintf(why, why_size, "%s cannot be created: %s", path, strerror(-err));
		return err;
	}
	r->timer = (struct timer){.fn = period, .arg = g};
	timer_set(g->e, &r->timer, PERIOD_NS);
	g->e->recording++;
	atomic_store(&g->f->recording, 1);
	return 0;
}

void record_touch(struct guest *g, uint64_t offset, uint64_t len)
{
	struct record *r = &g->record;

	r->faults++;
	r->pages += len / PAGE_4K;
	if (r->len && r->run + r->len == offset) {
		r->len += len;
		return;
	}
	flush_run(g);
	r->run = offset;
	r->len = len;
}

void record_end(struct guest *g)
{
	struct record *r = &g->record;
	int err;

	if (!r->w)
		return;
	timer_clear(&r->timer);
	if (!r->failed)
		flush_run(g);
	err = order_finish(r->w);
	if (err)
		engine_say(g->e, ENGINE_ERROR, "%s: the recording is not complete: %s", g->f->name,
			   strerror(-err));
	r->w = NULL;
	g->e->recording--;
	atomic_store(&g->f->recording, 0);
}
