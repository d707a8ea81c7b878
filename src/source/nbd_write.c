/*
 * nbd_write.c - writing an image to an NBD export. It is written in place, as exports have no other
 * way: until commit there is neither the old image nor the new one.
 */
#include "source/nbd.h"
#include "source/util.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS	  32u
#define SLOT_SIZE (256u << 10)
#define ZERO_STEP (1u << 30)
#define STALL_MS  60000u

struct written {
	uint64_t offset, end;
};

struct slot {
	struct nbd_writer *w;
	char *buf;
	bool busy;
};

struct nbd_writer {
	struct source_writer base;
	struct nbd_target target;
	struct nbd_handle *h;
	uint64_t image; /* its size */
	uint64_t size;	/* and rounded up to blocks of the server's */
	uint32_t most;	/* in one request */
	unsigned busy;
	int error; /* the first */
	struct slot slot[SLOTS];
	size_t count, room;
	struct written *written; /* the rest is zeroed at last */
};

static void free_writer(struct nbd_writer *w)
{
	nbd_close(w->h);
	for (unsigned i = 0; i < SLOTS; i++)
		free(w->slot[i].buf);
	free(w->written);
	nbd_target_free(&w->target);
	free(w);
}

static int check(struct nbd_writer *w, uint64_t size, char *why, size_t why_size)
{
	int64_t have = nbd_get_size(w->h);
	int64_t least = nbd_get_block_size(w->h, LIBNBD_SIZE_MINIMUM);
	int64_t most = nbd_get_block_size(w->h, LIBNBD_SIZE_MAXIMUM);
	const char *uri = w->target.uri;

	if (nbd_is_read_only(w->h) != 0)
		return source_why(why, why_size, -EROFS, "the NBD export %s is read-only", uri);
	if (have < 0 || (uint64_t)have < size)
		return source_why(
			why, why_size, -ENOSPC,
			"the NBD export %s has %lld bytes, but the image has %llu: make the "
			"export larger",
			uri, (long long)have, (unsigned long long)size);
	if (least > SOURCE_PAGE)
		return source_why(
			why, why_size, -EINVAL,
			"the NBD server of %s takes blocks of %lld bytes, larger than a page", uri,
			(long long)least);
	if (least < 1)
		least = 1;
	w->image = size;
	w->size = size + ((uint64_t)least - size % (uint64_t)least) % (uint64_t)least;
	if (w->size > (uint64_t)have)
		w->size = (uint64_t)have;
	w->most = most > 0 && most < SLOT_SIZE ? (uint32_t)(most - most % least) : SLOT_SIZE;
	return w->most ? 0
		       : source_why(why, why_size, -EPROTO,
				    "the NBD server of %s takes no blocks of %lld bytes", uri,
				    (long long)least);
}

static int nbd_create_image(const char *spec, uint64_t size, const struct source_env *env,
			    struct source_writer **out, char *why, size_t why_size)
{
	struct nbd_writer *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return source_why(why, why_size, -ENOMEM, "there is not enough memory");
	r = nbd_target_read(&w->target, spec, env, why, why_size);
	if (!r)
		r = nbd_target_connect(&w->target, false, NBD_OPEN_MS, -1, NULL, NULL, &w->h, why,
				       why_size);
	if (!r)
		r = check(w, size, why, why_size);
	for (unsigned i = 0; i < SLOTS && !r; i++) {
		w->slot[i].w = w;
		w->slot[i].buf = malloc(SLOT_SIZE);
		if (!w->slot[i].buf)
			r = source_why(why, why_size, -ENOMEM, "there is not enough memory");
	}
	if (r < 0) {
		free_writer(w);
		return r;
	}
	w->base.ops = &nbd_writer_ops;
	*out = &w->base;
	return 0;
}

static int slot_done(void *arg, int *error)
{
	struct slot *slot = arg;

	slot->busy = false;
	slot->w->busy--;
	if (*error && !slot->w->error)
		slot->w->error = -*error;
	return 1;
}

/* Until no more than `most` requests are under way. */
static int wait_until(struct nbd_writer *w, unsigned most)
{
	while (w->busy > most && !w->error) {
		int r = nbd_poll(w->h, STALL_MS);

		if (r == -1)
			return nbd_get_errno() ? -nbd_get_errno() : -EIO;
		if (r == 0)
			return -ETIMEDOUT;
		if (nbd_aio_is_dead(w->h) || nbd_aio_is_closed(w->h))
			return w->error ? w->error : -ENOTCONN;
	}
	return w->error;
}

static struct slot *take_slot(struct nbd_writer *w, int *error)
{
	*error = wait_until(w, SLOTS - 1);
	if (*error)
		return NULL;
	for (unsigned i = 0;; i++) {
		if (!w->slot[i].busy) {
			w->slot[i].busy = true;
			w->busy++;
			return &w->slot[i];
		}
	}
}

static int failed(struct nbd_writer *w, struct slot *slot)
{
	int error = nbd_get_errno() ? nbd_get_errno() : EIO;

	slot_done(slot, &error);
	return w->error;
}

/* len bytes of buf (NULL: zeros), and pad more zeros; all together at most a slot's. */
static int send_data(struct nbd_writer *w, uint64_t offset, const char *buf, uint64_t len,
		     uint64_t pad)
{
	int r;
	struct slot *slot = take_slot(w, &r);
	nbd_completion_callback done = {.callback = slot_done, .user_data = slot};

	if (!slot)
		return r;
	if (buf)
		memcpy(slot->buf, buf, len);
	else
		memset(slot->buf, 0, len);
	memset(slot->buf + len, 0, pad);
	r = nbd_aio_pwrite(w->h, slot->buf, len + pad, offset, done, 0) == -1;
	return r ? failed(w, slot) : 0;
}

static int note(struct nbd_writer *w, uint64_t offset, uint64_t end)
{
	if (w->count && w->written[w->count - 1].end == offset) {
		w->written[w->count - 1].end = end;
		return 0;
	}
	if (w->count == w->room) {
		size_t room = w->room ? w->room * 2 : 1024;
		struct written *more = realloc(w->written, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		w->written = more;
		w->room = room;
	}
	w->written[w->count++] = (struct written){offset, end};
	return 0;
}

static int nbd_write(struct source_writer *base, uint64_t offset, const void *buf, uint64_t len)
{
	struct nbd_writer *w = (struct nbd_writer *)base;
	/* The image's end need not be one of the server's blocks. */
	uint64_t pad = offset + len == w->image ? w->size - w->image : 0;
	int r;

	if (offset + len > w->image)
		return -EINVAL;
	r = note(w, offset, offset + len + pad);
	for (uint64_t at = 0, n; at < len && !r; at += n) {
		n = len - at < w->most ? len - at : w->most;
		r = send_data(w, offset + at, (const char *)buf + at, n, at + n == len ? pad : 0);
	}
	return r;
}

static int send_zeros(struct nbd_writer *w, uint64_t offset, uint64_t end)
{
	bool can = nbd_can_zero(w->h) == 1;
	uint64_t step = can ? ZERO_STEP : w->most;
	int r = 0;

	for (; offset < end && !r; offset += step) {
		uint64_t n = end - offset < step ? end - offset : step;
		struct slot *slot;

		if (!can) {
			r = send_data(w, offset, NULL, n, 0);
			continue;
		}
		slot = take_slot(w, &r);
		if (slot && nbd_aio_zero(w->h, n, offset,
					 (nbd_completion_callback){.callback = slot_done,
								   .user_data = slot},
					 0) == -1)
			r = failed(w, slot);
	}
	return r;
}

static int by_offset(const void *a, const void *b)
{
	const struct written *x = a, *y = b;

	return (x->offset > y->offset) - (x->offset < y->offset);
}

static int zero_rest(struct nbd_writer *w)
{
	uint64_t at = 0;
	int r = 0;

	if (w->count)
		qsort(w->written, w->count, sizeof(*w->written), by_offset);
	for (size_t i = 0; i < w->count && !r; i++) {
		if (w->written[i].offset > at)
			r = send_zeros(w, at, w->written[i].offset);
		at = w->written[i].end;
	}
	return r ? r : at < w->size ? send_zeros(w, at, w->size) : 0;
}

static int flush(struct nbd_writer *w)
{
	int r;
	struct slot *slot;

	if (nbd_can_flush(w->h) != 1)
		return 0;
	slot = take_slot(w, &r);
	if (!slot)
		return r;
	if (nbd_aio_flush(w->h, (nbd_completion_callback){.callback = slot_done, .user_data = slot},
			  0) == -1)
		return failed(w, slot);
	return wait_until(w, 0);
}

static int nbd_commit(struct source_writer *base)
{
	struct nbd_writer *w = (struct nbd_writer *)base;
	int r = zero_rest(w);

	if (!r)
		r = wait_until(w, 0);
	if (!r)
		r = flush(w);
	if (!r)
		(void)nbd_shutdown(w->h, 0);
	free_writer(w);
	return r;
}

static void nbd_abandon(struct source_writer *base)
{
	free_writer((struct nbd_writer *)base);
}

const struct source_writer_ops nbd_writer_ops = {
	.create = nbd_create_image,
	.write = nbd_write,
	.commit = nbd_commit,
	.abandon = nbd_abandon,
};
