/*
 * fuzz.c [TIMES [SEED]] - packed images that somebody has damaged or forged. A damaged one is
 * refused, or its pages are errors or what they were; a forged one, whose checksums are right, may
 * say what it likes, but harms nobody.
 */
#include "lib.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include "source/packed.h"

#define MEMORY (UINT64_C(300) * SOURCE_PAGE - 77)

struct image {
	unsigned char *bytes;
	size_t size;
};

static uint64_t state;

static uint64_t pick(uint64_t below)
{
	return random_next(&state) % below;
}

static struct image load_image(const char *path)
{
	struct image image;
	FILE *f = fopen(path, "r");

	CHECK(f && fseek(f, 0, SEEK_END) == 0);
	image.size = (size_t)ftell(f);
	image.bytes = malloc(image.size);
	rewind(f);
	CHECK(image.bytes && fread(image.bytes, 1, image.size, f) == image.size);
	fclose(f);
	return image;
}

static struct image copy_of(const struct image *from)
{
	struct image image = {malloc(from->size), from->size};

	CHECK(image.bytes);
	memcpy(image.bytes, from->bytes, from->size);
	return image;
}

/* ---- damage
 */

static void flip(unsigned char *bytes, size_t size)
{
	for (uint64_t n = 1 + pick(4); n; n--)
		bytes[pick(size)] ^= (unsigned char)(1 + pick(255));
}

static void damage(struct image *image)
{
	size_t from, len;

	switch (pick(6)) {
	case 0:
		flip(image->bytes, image->size);
		break;
	case 1:
		flip(image->bytes, sizeof(struct packed_header));
		break;
	case 2: /* cut off */
		image->size = pick(image->size);
		break;
	case 3: /* as after a crash: a stretch was not written */
		from = pick(image->size);
		len = pick(image->size - from) + 1;
		memset(image->bytes + from, 0, len);
		break;
	case 4: /* a stretch from elsewhere */
		len = 1 + pick(image->size / 2);
		memmove(image->bytes + pick(image->size - len),
			image->bytes + pick(image->size - len), len);
		break;
	default: /* the index */
		from = le64toh(((struct packed_header *)image->bytes)->index_at);
		flip(image->bytes + from, image->size - from);
	}
}

/* ---- forgery
 */

static uint64_t strange(void)
{
	static const uint64_t values[] = {0,
					  1,
					  2,
					  4095,
					  4096,
					  4097,
					  UINT32_MAX,
					  UINT64_C(1) << 30,
					  UINT64_C(1) << 32,
					  INT64_MAX,
					  UINT64_MAX - 4095,
					  UINT64_MAX};

	return pick(2) ? values[pick(sizeof(values) / sizeof(values[0]))] : random_next(&state);
}

static void forge_header(struct packed_header *h)
{
	uint64_t *fields[] = {&h->size,	      &h->file_size,  &h->slots,    &h->chunks,
			      &h->zero_pages, &h->same_pages, &h->index_at, &h->index_len};

	for (uint64_t n = 1 + pick(2); n; n--) {
		uint64_t *field = fields[pick(8)];

		*field = pick(2) ? htole64(le64toh(*field) + pick(9) - 4) : htole64(strange());
	}
	if (pick(4) == 0)
		h->chunk_size = htole32((uint32_t)(pick(2) ? UINT32_C(1) << pick(32) : strange()));
	/* Consistent, so that it is not noticed at once. */
	if (pick(2))
		h->zero_pages = htole64((le64toh(h->size) + SOURCE_PAGE - 1) / SOURCE_PAGE -
					le64toh(h->slots) - le64toh(h->same_pages));
}

static void forge_index(struct image *image)
{
	struct packed_header *h = (struct packed_header *)image->bytes;
	uint64_t at = le64toh(h->index_at), len = le64toh(h->index_len);
	size_t room = 1 << 20, size, packed;
	unsigned char *index = malloc(room), *out;

	size = ZSTD_decompress(index, room, image->bytes + at, len);
	CHECK(!ZSTD_isError(size));
	for (uint64_t n = 1 + pick(4); n; n--) {
		size_t word = pick(size / 4);
		uint32_t value = htole32((uint32_t)(pick(2) ? strange() : pick(64)));

		memcpy(index + word * 4, &value, 4);
	}
	if (pick(8) == 0)
		size = pick(size);
	out = malloc(at + ZSTD_compressBound(size));
	CHECK(out);
	memcpy(out, image->bytes, at);
	packed = ZSTD_compress(out + at, ZSTD_compressBound(size), index, size, 1);
	CHECK(!ZSTD_isError(packed));
	free(image->bytes);
	image->bytes = out;
	image->size = at + packed;
	h = (struct packed_header *)out;
	h->index_len = htole64(packed);
	h->index_sum = htole64(XXH3_64bits(index, size));
	h->file_size = htole64(image->size);
	free(index);
}

static void forge(struct image *image)
{
	struct packed_header *h;

	if (pick(3))
		forge_index(image);
	h = (struct packed_header *)image->bytes;
	if (pick(2))
		forge_header(h);
	if (pick(4) == 0)
		image->size = sizeof(*h) + pick(image->size - sizeof(*h));
	if (pick(4) == 0)
		flip(image->bytes + sizeof(*h), image->size - sizeof(*h));
	h->header_sum = htole64(XXH3_64bits(h, offsetof(struct packed_header, header_sum)));
}

/* ---- what becomes of it
 */

/* true: it could be opened. */
static bool try_image(const struct image *image, const unsigned char *memory)
{
	int fd = memfd_create("image", MFD_CLOEXEC);
	struct source_env env = {.threads = 2};
	struct source *s;
	char spec[64], why[700] = "";
	unsigned char *buf;
	uint64_t most;

	CHECK(fd >= 0 && write(fd, image->bytes, image->size) == (ssize_t)image->size);
	snprintf(spec, sizeof(spec), "packed:/proc/self/fd/%d", fd);
	if (source_open(spec, &env, &s, why, sizeof(why)) != 0) {
		CHECK(why[0]);
		close(fd);
		return false;
	}
	CHECK(s->chunk >= SOURCE_PAGE && s->chunk <= 2u << 20);
	buf = aligned_alloc(SOURCE_PAGE, s->chunk);
	CHECK(buf);
	/* Of one that says it is enormous, a part. */
	most = s->size < 4 * MEMORY ? s->size : 4 * MEMORY;
	for (uint64_t at = 0; at < most; at += s->chunk) {
		uint64_t rest = (s->size - at + SOURCE_PAGE - 1) & ~(uint64_t)(SOURCE_PAGE - 1);
		uint32_t len = rest < s->chunk ? (uint32_t)rest : s->chunk;
		uint64_t run = len;
		const unsigned char *peek;
		int error = fetch(s, at, len, buf);

		CHECK(!error || error == -EBADMSG || error == -ENODATA);
		peek = s->ops->peek(s, at, SOURCE_PAGE);
		if (memory) {
			CHECK(s->size == MEMORY);
			CHECK(error || memcmp(buf, memory + at, len) == 0);
			CHECK(!peek || memcmp(peek, memory + at, SOURCE_PAGE) == 0);
			if (s->ops->extent(s, at, &run) == SOURCE_ZERO)
				CHECK(memory[at] == 0 && memory[at + run - 1] == 0);
		}
	}
	free(buf);
	source_close(s);
	close(fd);
	return true;
}

int main(int argc, char **argv)
{
	unsigned long times = argc > 1 ? strtoul(argv[1], NULL, 10) : 1500, opened = 0,
		      harmless = 0;
	unsigned char *memory = make_memory(PATTERN_MIXED, MEMORY, 3);
	char path[256];
	struct image image;

	state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	make_image(temporary("image", path), "packed", (const char *[]){"chunk=16K", NULL}, memory,
		   MEMORY, 5);
	image = load_image(path);
	CHECK(try_image(&image, memory));
	for (unsigned long i = 0; i < times; i++) {
		struct image damaged = copy_of(&image), forged = copy_of(&image);

		damage(&damaged);
		harmless += try_image(&damaged, memory);
		free(damaged.bytes);
		forge(&forged);
		opened += try_image(&forged, NULL);
		free(forged.bytes);
	}
	/* What is refused at once tests little. */
	CHECK(times < 1000 || (opened > times / 20 && harmless > times / 20));
	printf("%lu damaged (%lu could be opened), %lu forged (%lu)\n", times, harmless, times,
	       opened);
	free(image.bytes);
	free(memory);
	return 0;
}
