/*
 * rados_write.c - writing an image to a Ceph cluster. Chunks are put together in slots, as their
 * checksums are of the whole; one that is complete, or has to make room, is written. The header
 * comes last: until then whoever opens the image gets the old one.
 */
#include "source/rados.h"
#include "source/util.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SLOTS 64u

enum slot_state {
	SLOT_FREE,
	SLOT_OPEN,
	SLOT_WRITING
};

struct slot {
	enum slot_state state;
	uint64_t chunk;
	uint64_t used; /* when last: the writer's clock */
	uint32_t filled;
	rados_completion_t completion;
	char *buf;
};

struct rados_writer {
	struct source_writer base;
	struct rados_image image;
	uint64_t clock;
	int error; /* the first */
	struct slot slot[SLOTS];
};

static void free_writer(struct rados_writer *w)
{
	rados_image_close(&w->image);
	for (unsigned i = 0; i < SLOTS; i++)
		free(w->slot[i].buf);
	free(w);
}

/* Not over what is not an image: an object of somebody else's may have that name. */
static int look_at_old(struct rados_writer *w, char *why, size_t why_size)
{
	int r = rados_image_load(&w->image, why, why_size);

	free(w->image.word);
	w->image.word = NULL;
	return r == -ENOENT || r == -EBADMSG ? 0 : r;
}

static int rados_create_image(const char *spec, uint64_t size, const struct source_env *env,
			      struct source_writer **out, char *why, size_t why_size)
{
	struct rados_writer *w;
	struct rados_header *h;
	int r;

	if (!size || size > RADOS_SIZE_MAX)
		return source_why(why, why_size, -EINVAL,
				  "an image in a Ceph cluster has 1 byte to 4 TiB");
	w = calloc(1, sizeof(*w));
	if (!w)
		return source_why(why, why_size, -ENOMEM, "there is not enough memory");
	h = &w->image.header;
	r = rados_image_open(&w->image, spec, env, why, why_size);
	if (!r)
		r = look_at_old(w, why, why_size);
	*h = (struct rados_header){.magic = RADOS_MAGIC,
				   .version = RADOS_VERSION,
				   .object_size = RADOS_OBJECT,
				   .chunk = RADOS_CHUNK,
				   .size = size,
				   .chunks = (size + RADOS_CHUNK - 1) / RADOS_CHUNK};
	if (!r && getrandom(&h->generation, sizeof(h->generation), 0) < 0)
		r = source_why(why, why_size, -errno, "there are no random numbers");
	if (!r) {
		w->image.word = calloc(h->chunks, sizeof(*w->image.word));
		if (!w->image.word)
			r = source_why(why, why_size, -ENOMEM, "there is not enough memory");
	}
	if (r < 0) {
		free_writer(w);
		return r;
	}
	w->base.ops = &rados_writer_ops;
	*out = &w->base;
	return 0;
}

/* ---- slots
 */

static uint32_t stored_size(const struct rados_writer *w, uint64_t chunk)
{
	uint64_t left = w->image.header.size - chunk * RADOS_CHUNK;

	return left < RADOS_CHUNK ? (uint32_t)left : RADOS_CHUNK;
}

static void place_of(const struct rados_writer *w, uint64_t chunk, char name[RADOS_NAME_MAX],
		     uint64_t *offset)
{
	uint64_t at = chunk * RADOS_CHUNK;

	rados_object_name(name, &w->image, w->image.header.generation, at / RADOS_OBJECT);
	*offset = at % RADOS_OBJECT;
}

static void fail(struct rados_writer *w, int error)
{
	if (error < 0 && !w->error)
		w->error = error;
}

static void begin_write(struct rados_writer *w, struct slot *slot)
{
	uint32_t len = stored_size(w, slot->chunk), *word = &w->image.word[slot->chunk];
	char name[RADOS_NAME_MAX];
	uint64_t offset;
	int r;

	slot->state = SLOT_FREE;
	if (!*word && is_zero(slot->buf, len))
		return;
	*word = rados_chunk_sum(slot->buf, len);
	r = rados_aio_create_completion2(NULL, NULL, &slot->completion);
	if (r < 0) {
		fail(w, r);
		return;
	}
	place_of(w, slot->chunk, name, &offset);
	r = rados_aio_write(w->image.io, name, slot->completion, slot->buf, len, offset);
	if (r < 0) {
		rados_aio_release(slot->completion);
		fail(w, r);
		return;
	}
	slot->state = SLOT_WRITING;
}

static void end_write(struct rados_writer *w, struct slot *slot)
{
	rados_aio_wait_for_complete(slot->completion);
	fail(w, rados_aio_get_return_value(slot->completion));
	rados_aio_release(slot->completion);
	slot->state = SLOT_FREE;
}

static struct slot *least_recent(struct rados_writer *w, enum slot_state state)
{
	struct slot *best = NULL;

	for (unsigned i = 0; i < SLOTS; i++) {
		struct slot *slot = &w->slot[i];

		if (slot->state == state && (!best || slot->used < best->used))
			best = slot;
	}
	return best;
}

static struct slot *make_room(struct rados_writer *w)
{
	struct slot *slot = least_recent(w, SLOT_FREE);

	if (!slot)
		slot = least_recent(w, SLOT_WRITING);
	if (!slot) {
		slot = least_recent(w, SLOT_OPEN);
		begin_write(w, slot);
	}
	if (slot->state == SLOT_WRITING)
		end_write(w, slot);
	if (!slot->buf)
		slot->buf = malloc(RADOS_CHUNK);
	if (!slot->buf)
		fail(w, -ENOMEM);
	return slot;
}

/* A chunk that had to make room before it was complete comes back from the cluster. */
static void load_chunk(struct rados_writer *w, struct slot *slot)
{
	uint32_t len = stored_size(w, slot->chunk);
	char name[RADOS_NAME_MAX];
	uint64_t offset;
	int r;

	memset(slot->buf, 0, RADOS_CHUNK);
	if (!w->image.word[slot->chunk])
		return;
	place_of(w, slot->chunk, name, &offset);
	r = rados_read(w->image.io, name, slot->buf, len, offset);
	fail(w, r < 0 ? r : (uint32_t)r < len ? -EIO : 0);
}

/* NULL: it has failed. */
static struct slot *slot_of(struct rados_writer *w, uint64_t chunk)
{
	struct slot *slot = NULL;

	for (unsigned i = 0; i < SLOTS && !slot; i++)
		if (w->slot[i].state != SLOT_FREE && w->slot[i].chunk == chunk)
			slot = &w->slot[i];
	if (slot && slot->state == SLOT_WRITING) {
		end_write(w, slot);
	} else if (!slot) {
		slot = make_room(w);
		slot->chunk = chunk;
		slot->filled = 0;
		if (!w->error)
			load_chunk(w, slot);
	}
	if (w->error)
		return NULL;
	slot->state = SLOT_OPEN;
	slot->used = ++w->clock;
	return slot;
}

/* ---- the operations
 */

static int rados_write_image(struct source_writer *base, uint64_t offset, const void *buf,
			     uint64_t len)
{
	struct rados_writer *w = (struct rados_writer *)base;

	if (offset > w->image.header.size || len > w->image.header.size - offset)
		return -EINVAL;
	for (uint64_t at = 0; at < len && !w->error;) {
		uint64_t skip = (offset + at) % RADOS_CHUNK;
		uint64_t n = len - at < RADOS_CHUNK - skip ? len - at : RADOS_CHUNK - skip;
		struct slot *slot = slot_of(w, (offset + at) / RADOS_CHUNK);

		if (!slot)
			break;
		memcpy(slot->buf + skip, (const char *)buf + at, n);
		slot->filled += (uint32_t)n;
		at += n;
		if (slot->filled >= stored_size(w, slot->chunk))
			begin_write(w, slot);
	}
	return w->error;
}

static void end_all(struct rados_writer *w, bool begin)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (w->slot[i].state == SLOT_OPEN && begin && !w->error)
			begin_write(w, &w->slot[i]);
	for (unsigned i = 0; i < SLOTS; i++)
		if (w->slot[i].state == SLOT_WRITING)
			end_write(w, &w->slot[i]);
}

static void remove_own(struct rados_writer *w)
{
	rados_image_remove_objects(&w->image, w->image.header.generation, w->image.word,
				   w->image.header.chunks);
}

static int rados_commit_image(struct source_writer *base)
{
	struct rados_writer *w = (struct rados_writer *)base;
	struct rados_image old = w->image;
	bool replaces;
	char why[256];
	int error;

	end_all(w, true);
	old.word = NULL;
	replaces = !w->error && rados_image_load(&old, why, sizeof(why)) == 0;
	if (!w->error)
		fail(w, rados_image_save(&w->image));
	if (w->error)
		remove_own(w);
	else if (replaces)
		rados_image_remove_objects(&old, old.header.generation, old.word,
					   old.header.chunks);
	free(old.word);
	error = w->error;
	free_writer(w);
	return error;
}

static void rados_abandon_image(struct source_writer *base)
{
	struct rados_writer *w = (struct rados_writer *)base;

	end_all(w, false);
	remove_own(w);
	free_writer(w);
}

const struct source_writer_ops rados_writer_ops = {
	.create = rados_create_image,
	.write = rados_write_image,
	.commit = rados_commit_image,
	.abandon = rados_abandon_image,
};
