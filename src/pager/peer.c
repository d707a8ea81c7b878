/*
 * peer.c - a source that is another process, which sends its memory (send.c).
 *
 * A thread of its own has the connection. Each page is sent once; so what arrives for a request
 * that was canceled is kept, for it will be asked for again.
 */
#include "pager/peer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "pager/channel.h"
#include "pager/library.h"

enum {
	CHUNK = 256 << 10,
	DEPTH = 32,
};

/* A request, or what is left of one that was canceled. */
struct wanted {
	struct wanted *next;
	struct source_request *request; /* NULL: canceled */
	char *bytes;			/* where it goes: the request's, or our own */
	uint64_t offset, left;
	uint32_t len;
	int error;
};

struct peer {
	struct source source;
	struct channel *channel;
	int wake, ready;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock;
	struct wanted *fresh; /* not asked for yet, in order */
	struct wanted *asked;
	struct wanted *done; /* to be reported */
	struct wanted *kept; /* canceled */
	unsigned under_way;
	uint64_t arrived;
	int broken; /* the connection has ended, thus */
	bool stop, finished;
};

static struct peer *peer_of(struct source *s)
{
	return (struct peer *)s;
}

static void append(struct wanted **list, struct wanted *w)
{
	while (*list)
		list = &(*list)->next;
	w->next = NULL;
	*list = w;
}

static struct wanted *take_out(struct wanted **list, const struct wanted *w)
{
	for (; *list; list = &(*list)->next) {
		if (*list == w) {
			struct wanted *found = *list;

			*list = found->next;
			return found;
		}
	}
	return NULL;
}

static void ring(int fd)
{
	uint64_t one = 1;
	ssize_t n;

	do
		n = write(fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
}

/* ---- the connection's thread
 */

static void finish(struct peer *p, struct wanted *w, int error)
{
	w->error = error;
	take_out(&p->asked, w);
	append(w->request ? &p->done : &p->kept, w);
	if (w->request)
		ring(p->ready);
}

static struct wanted *asked_for(struct peer *p, uint64_t offset, uint64_t len)
{
	for (struct wanted *w = p->asked; w; w = w->next) {
		if (offset >= w->offset && offset - w->offset <= w->len &&
		    len <= w->len - (offset - w->offset))
			return w;
	}
	return NULL;
}

static int arrive(struct peer *p, const struct frame *f, const void *data)
{
	struct wanted *w = asked_for(p, f->offset, f->value);

	if (!w || (f->len && f->len != f->value) || f->value > w->left || !f->value)
		return -EPROTO;
	if (f->type == FRAME_FAILED) {
		finish(p, w, -EIO);
		return 0;
	}
	if (f->len)
		memcpy(w->bytes + (f->offset - w->offset), data, f->len);
	else
		memset(w->bytes + (f->offset - w->offset), 0, f->value);
	p->arrived += f->value;
	w->left -= f->value;
	if (!w->left)
		finish(p, w, 0);
	return 0;
}

static int receive(struct peer *p)
{
	const void *data;
	struct frame f;
	int error = 0, got = 0;

	while (!error && (got = channel_next(p->channel, &f, &data)) > 0)
		error = f.type == FRAME_DATA || f.type == FRAME_FAILED ? arrive(p, &f, data)
								       : -EPROTO;
	return error ? error : got;
}

static int ask(struct peer *p)
{
	const struct frame complete = {.type = FRAME_COMPLETE};
	int error = 0;

	while (!error && p->fresh) {
		struct wanted *w = take_out(&p->fresh, p->fresh);
		const struct frame f = {
			.type = FRAME_REQUEST, .offset = w->offset, .value = w->len};

		append(&p->asked, w);
		error = channel_send(p->channel, &f, NULL);
	}
	if (!error && !p->finished && p->arrived >= p->source.size) {
		p->finished = true;
		error = channel_send(p->channel, &complete, NULL);
	}
	return error;
}

/* Nothing will come any more, however often it is asked for: that is what ENODATA says. */
static void break_off(struct peer *p)
{
	const int error = -ENODATA;

	p->broken = error;
	while (p->fresh)
		append(&p->asked, take_out(&p->fresh, p->fresh));
	while (p->asked)
		finish(p, p->asked, error);
}

static void *peer_main(void *arg)
{
	struct peer *p = arg;
	struct pollfd fds[2] = {{.fd = p->wake, .events = POLLIN}, {.fd = channel_fd(p->channel)}};
	uint64_t count;
	int error = 0, gone;

	for (;;) {
		pthread_mutex_lock(&p->lock);
		do {
			gone = channel_pump(p->channel);
			error = receive(p);
		} while (!gone && !error && channel_pending(p->channel));
		if (!error)
			error = ask(p);
		if (!error && !gone)
			gone = channel_flush(p->channel);
		if (error || gone || p->stop) {
			break_off(p);
			pthread_mutex_unlock(&p->lock);
			return NULL;
		}
		fds[1].events = channel_events(p->channel);
		pthread_mutex_unlock(&p->lock);
		if (poll(fds, 2, -1) > 0 && fds[0].revents & POLLIN &&
		    read(p->wake, &count, sizeof(count)) < 0 && errno != EAGAIN)
			return NULL;
	}
}

/* ---- the source's operations
 */

static void free_list(struct wanted *w)
{
	for (struct wanted *next; w; w = next) {
		next = w->next;
		if (!w->request)
			free(w->bytes);
		free(w);
	}
}

static void peer_close(struct source *s)
{
	struct peer *p = peer_of(s);

	if (p->started) {
		pthread_mutex_lock(&p->lock);
		p->stop = true;
		pthread_mutex_unlock(&p->lock);
		ring(p->wake);
		pthread_join(p->thread, NULL);
	}
	free_list(p->fresh);
	free_list(p->asked);
	free_list(p->done);
	free_list(p->kept);
	channel_close(p->channel);
	if (p->wake >= 0)
		close(p->wake);
	if (p->ready >= 0)
		close(p->ready);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* What came for it when it was asked for before. */
static struct wanted *kept_for(struct peer *p, const struct source_request *r)
{
	struct wanted **lists[] = {&p->kept, &p->asked};

	for (unsigned i = 0; i < 2; i++) {
		for (struct wanted *w = *lists[i]; w; w = w->next) {
			if (!w->request && w->offset == r->offset && w->len == r->len)
				return w;
		}
	}
	return NULL;
}

static void take_over(struct peer *p, struct wanted *w, struct source_request *r)
{
	memcpy(r->buf, w->bytes, w->len);
	free(w->bytes);
	w->bytes = r->buf;
	w->request = r;
	if (take_out(&p->kept, w)) {
		append(&p->done, w);
		ring(p->ready);
	}
}

static int peer_fetch(struct source *s, struct source_request *r)
{
	struct peer *p = peer_of(s);
	struct wanted *w;
	int error = 0;

	pthread_mutex_lock(&p->lock);
	w = kept_for(p, r);
	if (p->under_way >= DEPTH) {
		error = -EAGAIN;
	} else if (w) {
		take_over(p, w, r);
		p->under_way++;
	} else if ((w = calloc(1, sizeof(*w)))) {
		*w = (struct wanted){.request = r,
				     .bytes = r->buf,
				     .offset = r->offset,
				     .len = r->len,
				     .left = r->len};
		p->under_way++;
		append(&p->fresh, w);
		if (p->broken) {
			append(&p->asked, take_out(&p->fresh, w));
			finish(p, w, p->broken);
		}
		ring(p->wake);
	} else {
		error = -ENOMEM;
	}
	pthread_mutex_unlock(&p->lock);
	return error;
}

static void cancel_asked(struct peer *p, struct wanted *w)
{
	char *own = malloc(w->len);
	struct wanted *told;

	/* Without memory for what comes, the request is not given back before it has come. */
	if (!own)
		return;
	told = calloc(1, sizeof(*told));
	if (!told) {
		free(own);
		return;
	}
	memcpy(own, w->bytes, w->len);
	*told = (struct wanted){.request = w->request, .bytes = w->bytes, .error = -ECANCELED};
	w->request = NULL;
	w->bytes = own;
	append(&p->done, told);
	ring(p->ready);
}

static void peer_cancel(struct source *s, struct source_request *r)
{
	struct peer *p = peer_of(s);

	pthread_mutex_lock(&p->lock);
	for (struct wanted *w = p->fresh; w; w = w->next) {
		if (w->request == r) {
			take_out(&p->fresh, w);
			w->error = -ECANCELED;
			append(&p->done, w);
			ring(p->ready);
			break;
		}
	}
	for (struct wanted *w = p->asked; w; w = w->next) {
		if (w->request == r) {
			cancel_asked(p, w);
			break;
		}
	}
	pthread_mutex_unlock(&p->lock);
}

static int peer_fd(struct source *s)
{
	return peer_of(s)->ready;
}

static void peer_process(struct source *s)
{
	struct peer *p = peer_of(s);
	struct wanted *list, *next;
	uint64_t count;

	while (read(p->ready, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	pthread_mutex_lock(&p->lock);
	list = p->done;
	p->done = NULL;
	for (struct wanted *w = list; w; w = w->next)
		p->under_way--;
	pthread_mutex_unlock(&p->lock);
	for (; list; list = next) {
		next = list->next;
		list->request->done(list->request, list->error);
		free(list);
	}
}

static const struct source_ops peer_ops = {
	.name = "peer",
	.close = peer_close,
	.fetch = peer_fetch,
	.cancel = peer_cancel,
	.fd = peer_fd,
	.process = peer_process,
};

/* ---- the beginning
 */

static int hear_hello(struct peer *p, char *why, size_t why_size)
{
	const void *data;
	struct frame f;
	int got, gone;

	do {
		gone = channel_pump(p->channel);
		got = channel_next(p->channel, &f, &data);
		if (got == 0 && gone) {
			snprintf(why, why_size, "the other side is gone");
			return gone;
		}
		if (got == 0 && channel_wait(p->channel, HELLO_MS) == -ETIMEDOUT) {
			snprintf(why, why_size, "the other side says nothing");
			return -ETIMEDOUT;
		}
	} while (got == 0);
	if (got < 0 || f.type != FRAME_HELLO || f.offset != CHANNEL_MAGIC || f.len || !f.value ||
	    f.value % SOURCE_PAGE || f.value > PEER_MOST) {
		snprintf(why, why_size, "the other side does not send memory (uf_pager_send)");
		return -EPROTO;
	}
	p->source.size = f.value;
	return 0;
}

int peer_open(int socket, const struct uf_tls *tls, struct source **out, char *why, size_t why_size)
{
	struct peer *p = calloc(1, sizeof(*p));
	int error;

	snprintf(why, why_size, "there is no memory left");
	if (!p)
		return -ENOMEM;
	error = channel_open(socket, tls, 0, &p->channel, why, why_size);
	if (error) {
		free(p);
		return error;
	}
	p->source = (struct source){
		.ops = &peer_ops, .spec = "another process", .chunk = CHUNK, .depth = DEPTH};
	pthread_mutex_init(&p->lock, NULL);
	p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->wake < 0 || p->ready < 0) {
		snprintf(why, why_size, "no descriptor is free");
		error = -EMFILE;
	}
	if (!error)
		error = hear_hello(p, why, why_size);
	if (!error) {
		error = library_thread(&p->thread, peer_main, p);
		p->started = !error;
		if (error)
			snprintf(why, why_size, "no thread can be started");
	}
	if (error) {
		peer_close(&p->source);
		return error;
	}
	*out = &p->source;
	return 0;
}
