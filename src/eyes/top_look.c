/*
 * top_look.c - one look at all there is: sessions and pagers, as groups and rows.
 */
#include "eyes/top.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd/sessions.h"

/* What a thread calls itself, if /proc of this process shows it. */
static void name_thread(pid_t pid, struct top_waiter *w)
{
	char path[64], name[32] = "";
	FILE *f;

	if (!w->thread)
		return;
	snprintf(path, sizeof(path), "/proc/%d/task/%" PRIu32 "/comm", pid, w->thread);
	f = fopen(path, "re");
	if (!f)
		return;
	if (fgets(name, sizeof(name), f))
		printable(w->name, sizeof(w->name), name, strcspn(name, "\n"));
	fclose(f);
}

static void finish_row(struct top_row *r)
{
	r->oldest = NO_TIME;
	for (uint32_t i = 0; i < r->nwaiters; i++) {
		if (r->pid && !r->elsewhere)
			name_thread(r->pid, &r->waiter[i]);
		if (r->oldest == NO_TIME || r->waiter[i].age > r->oldest)
			r->oldest = r->waiter[i].age;
	}
}

static void take_process(struct top_row *r, const struct session *s,
			 const struct session_process *p)
{
	r->kind = ROW_PROCESS;
	r->key[0] = s->dev;
	r->key[1] = s->ino;
	r->key[2] = (uint64_t)p->slot << 32 | (uint32_t)p->pid;
	printable(r->name, sizeof(r->name), p->command, sizeof(p->command));
	r->pid = p->pid;
	r->elsewhere = p->elsewhere;
	snprintf(r->state, sizeof(r->state), "%s",
		 p->roles == SLOT_HANDLER ? "handler"
		 : p->roles == SLOT_OWNER ? "owner"
					  : "both");
	for (unsigned i = 0; i < 4; i++) {
		r->faults_by_kind[i] = p->faults[i];
		r->count[TOP_FAULTS] += p->faults[i];
	}
	r->count[TOP_DEMAND] = p->filled;
	r->count[TOP_EVICTED] = p->out;
	memcpy(r->bucket, p->latency, sizeof(r->bucket));
	r->max_ns = p->latency_max;
	r->registered = p->pages * 4096;
	r->resident = NO_TIME;
	r->waiting = p->waiting;
	for (uint32_t i = 0; i < p->nthreads && i < TOP_WAITERS; i++)
		r->waiter[r->nwaiters++] = (struct top_waiter){
			.addr = p->thread[i].addr,
			.age = p->thread[i].age,
			.thread = p->thread[i].tid,
			.event = p->thread[i].event,
		};
}

static bool add_session(struct look *l, const struct session *s)
{
	struct top_group *g;
	uint32_t number = (uint32_t)l->ngroups;

	if (s->check == SESSION_FOREIGN)
		return true;
	if (s->check != SESSION_GOOD) {
		l->hidden++;
		return true;
	}
	g = add_group(l);
	if (!g)
		return false;
	g->kind = GROUP_SESSION;
	g->key[0] = s->dev;
	g->key[1] = s->ino;
	snprintf(g->id, sizeof(g->id), "%016" PRIx64, s->id);
	printable(g->name, sizeof(g->name), s->program, sizeof(s->program));
	g->pid = (pid_t)s->maker;
	g->began = s->made;
	g->rows = (uint32_t)s->nprocesses;
	for (size_t i = 0; i < s->nprocesses; i++) {
		struct top_row *r = add_row(l);

		if (!r)
			return false;
		r->group = number;
		take_process(r, s, &s->process[i]);
	}
	return true;
}

static bool find_sessions(struct look *l)
{
	struct sessions all;
	bool room = sessions_find(&all, false);

	if (!room)
		return false;
	for (size_t i = 0; room && i < all.n; i++)
		room = add_session(l, &all.session[i]);
	sessions_free(&all);
	return room;
}

/* ---- --session, --pid
 */

static bool wanted(const struct look *l, const struct top_row *r, const struct top_options *o)
{
	const struct top_group *g = &l->group[r->group];

	if (o->session && strncmp(g->id, o->session, strlen(o->session)) != 0)
		return false;
	return !o->pid || r->pid == o->pid || g->pid == o->pid || g->keeper == o->pid;
}

static bool wanted_group(const struct top_group *g, const struct top_options *o)
{
	if (o->session && strncmp(g->id, o->session, strlen(o->session)) != 0)
		return false;
	return !o->pid || g->rows || g->pid == o->pid || g->keeper == o->pid;
}

static void keep_wanted(struct look *l, const struct top_options *o)
{
	size_t n = 0, groups = 0;
	uint32_t *moved = calloc(l->ngroups + 1, sizeof(*moved));

	if (!moved)
		return;
	for (size_t i = 0; i < l->ngroups; i++)
		l->group[i].rows = 0;
	for (size_t i = 0; i < l->nrows; i++) {
		if (!wanted(l, &l->row[i], o)) {
			free(l->row[i].region);
			continue;
		}
		l->group[l->row[i].group].rows++;
		l->row[n++] = l->row[i];
	}
	l->nrows = n;
	for (size_t i = 0; i < l->ngroups; i++) {
		moved[i] = (uint32_t)groups;
		if (wanted_group(&l->group[i], o))
			l->group[groups++] = l->group[i];
	}
	l->ngroups = groups;
	for (size_t i = 0; i < n; i++)
		l->row[i].group = moved[l->row[i].group];
	free(moved);
}

bool look_around(struct look *l, const struct top_options *o)
{
	struct timespec t;

	*l = (struct look){0};
	if (!find_pagers(l) || !find_sessions(l)) {
		look_free(l);
		return false;
	}
	clock_gettime(CLOCK_MONOTONIC, &t);
	l->at = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	if (o->session || o->pid)
		keep_wanted(l, o);
	for (size_t i = 0; i < l->nrows; i++)
		finish_row(&l->row[i]);
	return true;
}

void look_free(struct look *l)
{
	for (size_t i = 0; i < l->nrows; i++)
		free(l->row[i].region);
	free(l->row);
	free(l->group);
	*l = (struct look){0};
}
