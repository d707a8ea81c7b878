/*
 * util_pool.c - threads for what may block: reads where there is no io_uring, decompression.
 */
#include "util.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	JOB_AHEAD = 1,
	JOB_WAITS,
	JOB_RUNS,
	JOB_DONE
};

/* zstd's largest frames of functions fit many times. */
#define STACK ((size_t)256 << 10)

struct queue {
	struct pool_job *first, **last;
};

struct pool {
	struct pool_options options;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct queue now, ahead, done;
	unsigned started, idle;
	bool ending;
	int event;
	pthread_t thread[];
};

static void put(struct queue *q, struct pool_job *job)
{
	job->next = NULL;
	*q->last = job;
	q->last = &job->next;
}

static struct pool_job *take(struct queue *q)
{
	struct pool_job *job = q->first;

	if (job) {
		q->first = job->next;
		if (!q->first)
			q->last = &q->first;
	}
	return job;
}

static bool drop(struct queue *q, struct pool_job *job)
{
	for (struct pool_job **at = &q->first; *at; at = &(*at)->next) {
		if (*at == job) {
			*at = job->next;
			if (q->last == &job->next)
				q->last = at;
			return true;
		}
	}
	return false;
}

/* Under the lock. */
static void finish(struct pool *p, struct pool_job *job, int error)
{
	bool first = !p->done.first;

	job->error = error;
	job->state = JOB_DONE;
	put(&p->done, job);
	if (first)
		pool_wake(p);
}

static void *worker(void *arg)
{
	struct pool *p = arg;
	void *local = p->options.local_size ? calloc(1, p->options.local_size) : NULL;
	struct pool_job *job;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		job = take(&p->now);
		if (!job)
			job = take(&p->ahead);
		if (job) {
			int error;

			job->state = JOB_RUNS;
			pthread_mutex_unlock(&p->lock);
			error = local || !p->options.local_size ? p->options.work(job, local)
								: -ENOMEM;
			pthread_mutex_lock(&p->lock);
			finish(p, job, error);
		} else if (p->ending) {
			break;
		} else {
			p->idle++;
			pthread_cond_wait(&p->more, &p->lock);
			p->idle--;
		}
	}
	pthread_mutex_unlock(&p->lock);
	if (local && p->options.end)
		p->options.end(local);
	free(local);
	return NULL;
}

/* Signals are for the program's own threads. */
static int start(struct pool *p)
{
	pthread_attr_t attr;
	sigset_t all, before;
	int error;

	error = pthread_attr_init(&attr);
	if (error)
		return -error;
	sigfillset(&all);
	pthread_attr_setstacksize(&attr, p->options.stack ? p->options.stack : STACK);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&p->thread[p->started], &attr, worker, p);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (!error)
		p->started++;
	return -error;
}

int pool_new(const struct pool_options *options, struct pool **out)
{
	struct pool *p = calloc(1, sizeof(*p) + options->threads * sizeof(p->thread[0]));
	int error;

	if (!p)
		return -ENOMEM;
	p->options = *options;
	p->now.last = &p->now.first;
	p->ahead.last = &p->ahead.first;
	p->done.last = &p->done.first;
	p->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = p->event < 0 ? -errno : 0;
	if (!error) {
		pthread_mutex_init(&p->lock, NULL);
		pthread_cond_init(&p->more, NULL);
		/* One at least there has to be. */
		error = start(p);
		if (!error) {
			*out = p;
			return 0;
		}
		pthread_mutex_destroy(&p->lock);
		pthread_cond_destroy(&p->more);
		close(p->event);
	}
	free(p);
	return error;
}

void pool_free(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->ending = true;
	pthread_cond_broadcast(&p->more);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->started; i++)
		pthread_join(p->thread[i], NULL);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->more);
	close(p->event);
	free(p);
}

void pool_add(struct pool *p, struct pool_job *job, bool ahead)
{
	pthread_mutex_lock(&p->lock);
	job->state = ahead ? JOB_AHEAD : JOB_WAITS;
	put(ahead ? &p->ahead : &p->now, job);
	if (p->idle)
		pthread_cond_signal(&p->more);
	else if (p->started < p->options.threads)
		/* Where no more threads are to be had, those there are do it. */
		(void)start(p);
	pthread_mutex_unlock(&p->lock);
}

void pool_hurry(struct pool *p, struct pool_job *job)
{
	pthread_mutex_lock(&p->lock);
	if (job->state == JOB_AHEAD && drop(&p->ahead, job)) {
		job->state = JOB_WAITS;
		put(&p->now, job);
	}
	pthread_mutex_unlock(&p->lock);
}

void pool_cancel(struct pool *p, struct pool_job *job)
{
	pthread_mutex_lock(&p->lock);
	if ((job->state == JOB_AHEAD && drop(&p->ahead, job)) ||
	    (job->state == JOB_WAITS && drop(&p->now, job)))
		finish(p, job, -ECANCELED);
	pthread_mutex_unlock(&p->lock);
}

int pool_fd(struct pool *p)
{
	return p->event;
}

void pool_wake(struct pool *p)
{
	uint64_t one = 1;

	(void)!write(p->event, &one, sizeof(one));
}

struct pool_job *pool_take(struct pool *p)
{
	struct pool_job *done;
	uint64_t count;

	pthread_mutex_lock(&p->lock);
	done = p->done.first;
	p->done.first = NULL;
	p->done.last = &p->done.first;
	(void)!read(p->event, &count, sizeof(count));
	pthread_mutex_unlock(&p->lock);
	return done;
}
