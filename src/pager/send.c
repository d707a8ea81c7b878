/*
 * send.c - the side of a move that has the memory: serves another process's requests for pages.
 *
 * The memory is frozen (freeze.h): what is sent is what it contained when uf_pager_send was called.
 * A page that its own program is about to change first is copied and held until it is asked for.
 * The other side asks for each page once; when it has them all it says so.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pager/api.h"
#include "pager/channel.h"
#include "pager/freeze.h"
#include "pager/library.h"
#include "pager/source.h"

enum {
	QUEUE = 4
		<< 20, /* bytes that wait to be sent, at most, before more requests are looked at */
};

struct sender {
	struct channel *channel;
	uint64_t len;
	char **held; /* a copy of each page that was changed before it was asked for */
	/* The request being answered: bytes of it go out, others are held. */
	uint64_t from, to;
	bool complete;
};

static bool is_zero(const char *page)
{
	return !page[0] && memcmp(page, page + 1, SOURCE_PAGE - 1) == 0;
}

/* A run of pages, zero ones without their contents. */
static int send_pages(struct sender *s, uint64_t offset, const char *bytes, uint64_t len)
{
	uint64_t at = 0, end;
	int error = 0;

	while (!error && at < len) {
		struct frame f = {.type = FRAME_DATA, .offset = offset + at};
		bool zero = is_zero(bytes + at);

		for (end = at + SOURCE_PAGE; end < len && is_zero(bytes + end) == zero;)
			end += SOURCE_PAGE;
		f.value = end - at;
		f.len = zero ? 0 : (uint32_t)f.value;
		error = channel_send(s->channel, &f, bytes + at);
		at = end;
	}
	return error;
}

static int hold(struct sender *s, uint64_t offset, const char *bytes, uint64_t len)
{
	for (uint64_t at = 0; at < len; at += SOURCE_PAGE) {
		char *copy = malloc(SOURCE_PAGE);

		if (!copy)
			return -ENOMEM;
		memcpy(copy, bytes + at, SOURCE_PAGE);
		s->held[(offset + at) / SOURCE_PAGE] = copy;
	}
	return 0;
}

static uint64_t within(uint64_t x, uint64_t low, uint64_t high)
{
	return x < low ? low : x > high ? high : x;
}

static int take(void *arg, uint64_t offset, const void *bytes, size_t len)
{
	struct sender *s = arg;
	uint64_t end = offset + len;
	uint64_t from = within(s->from, offset, end), to = within(s->to, from, end);
	const char *at = bytes;
	int error = hold(s, offset, at, from - offset);

	if (!error)
		error = send_pages(s, from, at + (from - offset), to - from);
	if (!error)
		error = hold(s, to, at + (to - offset), end - to);
	return error;
}

static int answer_page(struct sender *s, struct freeze *f, uint64_t offset)
{
	char **held = &s->held[offset / SOURCE_PAGE];
	const struct frame failed = {.type = FRAME_FAILED, .offset = offset, .value = SOURCE_PAGE};
	int error;

	if (!*held && freeze_taken(f, offset))
		return channel_send(s->channel, &failed, NULL);
	if (!*held)
		return freeze_take(f, offset, SOURCE_PAGE);
	error = send_pages(s, offset, *held, SOURCE_PAGE);
	free(*held);
	*held = NULL;
	return error;
}

static int answer(struct sender *s, struct freeze *f, const struct frame *request)
{
	uint64_t offset = request->offset, end, run;
	int error = 0;

	if (offset % SOURCE_PAGE || request->value % SOURCE_PAGE || !request->value ||
	    request->value > CHANNEL_MOST || offset > s->len || request->value > s->len - offset)
		return -EPROTO;
	end = offset + request->value;
	s->from = offset;
	s->to = end;
	while (!error && offset < end) {
		for (run = offset;
		     run < end && !s->held[run / SOURCE_PAGE] && !freeze_taken(f, run);)
			run += SOURCE_PAGE;
		error = run > offset ? freeze_take(f, offset, run - offset)
				     : answer_page(s, f, offset);
		offset = run > offset ? run : offset + SOURCE_PAGE;
	}
	s->from = s->to = 0;
	return error;
}

static int handle(struct sender *s, struct freeze *f, const struct frame *frame)
{
	if (frame->type == FRAME_REQUEST)
		return answer(s, f, frame);
	if (frame->type != FRAME_COMPLETE)
		return -EPROTO;
	s->complete = true;
	return 0;
}

static int work(void *arg, struct freeze *f)
{
	struct sender *s = arg;
	int gone = channel_pump(s->channel), error = 0, got = 1;
	const void *data;
	struct frame frame;

	while (!error && !s->complete && channel_queued(s->channel) < QUEUE &&
	       (got = channel_next(s->channel, &frame, &data)) > 0)
		error = handle(s, f, &frame);
	if (s->complete)
		return FREEZE_DONE;
	if (error || got < 0)
		return error ? error : got;
	if (gone)
		return gone;
	/* What was just queued goes out at once; then there may be room for more answers. */
	error = channel_flush(s->channel);
	return error ? error
		     : channel_queued(s->channel) < QUEUE &&
			       (got > 0 || channel_pending(s->channel));
}

static short events(void *arg)
{
	const struct sender *s = arg;

	return channel_events(s->channel);
}

static int run(struct sender *s, void *addr, char *why, size_t why_size)
{
	const struct frame hello = {.type = FRAME_HELLO, .offset = CHANNEL_MAGIC, .value = s->len};
	const struct freeze_client client = {.take = take,
					     .work = work,
					     .fd = channel_fd(s->channel),
					     .events = events,
					     .arg = s};
	struct freeze *f;
	int error = channel_send(s->channel, &hello, NULL);

	snprintf(why, why_size, "there is no memory left");
	if (!error)
		error = freeze_begin(addr, s->len, &client, &f, NULL, why, why_size);
	if (error)
		return error;
	error = freeze_end(f, false);
	if (error == -EPIPE)
		snprintf(why, why_size, "the other side went away before it had everything");
	else if (error)
		snprintf(why, why_size, "%s", strerror(-error));
	return error;
}

int uf_pager_send(struct uf_pager *pager, void *addr, size_t len, int socket,
		  const struct uf_tls *tls)
{
	struct sender s = {.len = len};
	char why[256];
	int error;

	error = pager_not_served(pager, addr, len);
	if (error)
		return error;
	s.held = calloc(len / SOURCE_PAGE + 1, sizeof(*s.held));
	if (!s.held)
		return library_fail(-ENOMEM, "there is no memory left");
	error = channel_open(socket, tls, 1, &s.channel, why, sizeof(why));
	if (!error) {
		error = run(&s, addr, why, sizeof(why));
		channel_close(s.channel);
	}
	for (uint64_t i = 0; i < len / SOURCE_PAGE; i++)
		free(s.held[i]);
	free(s.held);
	return error ? library_fail(error, "uf_pager_send: %s", why) : 0;
}
