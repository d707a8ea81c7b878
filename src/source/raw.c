/*
 * raw.c - memory as it is, in a file or on a block device. Files may be sparse.
 *
 *   raw.c       opening, and writing one
 *   raw_have.c  what is known without reading: holes, and what the page cache has
 *   raw_io.c    reads: io_uring, or threads where it is refused
 */
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "list.h"

#define CHUNK (64u << 10)

static const char *path_of(const char *spec)
{
	return strncmp(spec, "raw:", 4) == 0 ? spec + 4 : spec;
}

static int size_of(int fd, uint64_t *size, const char *path, char *why, size_t why_size)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return source_why(why, why_size, -errno, "%s: %s", path, strerror(errno));
	if (S_ISREG(st.st_mode)) {
		*size = (uint64_t)st.st_size;
		return 0;
	}
	if (!S_ISBLK(st.st_mode))
		return source_why(why, why_size, S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL,
				  "%s is neither a file nor a block device", path);
	if (ioctl(fd, BLKGETSIZE64, size) != 0)
		return source_why(why, why_size, -errno, "%s does not tell its size: %s", path,
				  strerror(errno));
	return 0;
}

static int open_file(struct raw *r, const char *path, const struct source_env *env, char *why,
		     size_t why_size)
{
	bool direct = env && env->direct;
	int error;

	/* NONBLOCK: a FIFO is refused, not waited for. */
	r->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (direct ? O_DIRECT : 0));
	if (r->fd < 0 && errno == EINVAL && direct)
		return source_why(why, why_size, -EINVAL,
				  "%s is on a file system without O_DIRECT; leave out direct",
				  path);
	if (r->fd < 0)
		return source_why(why, why_size, -errno, "%s cannot be opened: %s", path,
				  strerror(errno));
	error = size_of(r->fd, &r->s.size, path, why, why_size);
	if (error)
		return error;
	return raw_io_new(r, env, why, why_size);
}

static void raw_close(struct source *s)
{
	struct raw *r = raw_of(s);

	raw_io_free(r);
	raw_have_free(r);
	if (r->fd >= 0)
		close(r->fd);
	free(r);
}

static int raw_open(const char *spec, const struct source_env *env, struct source **out, char *why,
		    size_t why_size)
{
	struct raw *r = calloc(1, sizeof(*r));
	int error;

	if (!r)
		return source_why(why, why_size, -ENOMEM, "there is no memory left");
	r->s.ops = &source_raw;
	r->s.chunk = CHUNK;
	r->fd = -1;
	r->direct = env && env->direct;
	snprintf(r->s.spec, sizeof(r->s.spec), "%s", spec);
	error = open_file(r, path_of(spec), env, why, why_size);
	if (!error) {
		error = raw_have_new(r);
		if (error)
			source_why(why, why_size, error, "%s: %s", spec, strerror(-error));
	}
	if (error) {
		raw_close(&r->s);
		return error;
	}
	*out = &r->s;
	return 0;
}

/* Whatever else it may be, it is bytes. */
static bool raw_probe(const char *spec, int fd)
{
	(void)spec;
	(void)fd;
	return true;
}

/* ---- writing one
 */

struct raw_writer {
	struct source_writer w;
	struct new_file file;
	uint64_t size;
};

static int raw_create(const char *spec, uint64_t size, const struct source_env *env,
		      struct source_writer **out, char *why, size_t why_size)
{
	struct raw_writer *w = calloc(1, sizeof(*w));
	const char *path = path_of(spec);
	int error;

	(void)env;
	if (!w)
		return source_why(why, why_size, -ENOMEM, "there is no memory left");
	w->w.ops = source_raw.writer;
	w->size = size;
	error = new_file_begin(&w->file, path, size, why, why_size);
	if (!error && !w->file.device && ftruncate(w->file.fd, (off_t)size) != 0) {
		error = source_why(why, why_size, -errno, "%s cannot have %ju bytes: %s", path,
				   (uintmax_t)size, strerror(errno));
		new_file_abandon(&w->file);
	}
	if (error) {
		free(w);
		return error;
	}
	*out = &w->w;
	return 0;
}

/* What is zero stays a hole. */
static int raw_write(struct source_writer *writer, uint64_t offset, const void *buf, uint64_t len)
{
	struct raw_writer *w = (struct raw_writer *)writer;
	const char *p = buf;
	int error = 0;

	if (offset > w->size || len > page_round(w->size) - offset)
		return -EINVAL;
	if (len > w->size - offset)
		len = w->size - offset;
	for (uint64_t at = 0, end; at < len && !error; at = end) {
		uint64_t n = len - at < SOURCE_PAGE ? len - at : SOURCE_PAGE;

		end = at + n;
		if (is_zero(p + at, n))
			continue;
		while (end < len) {
			n = len - end < SOURCE_PAGE ? len - end : SOURCE_PAGE;
			if (is_zero(p + end, n))
				break;
			end += n;
		}
		error = write_all(w->file.fd, p + at, end - at, offset + at);
	}
	return error;
}

static int raw_commit(struct source_writer *writer)
{
	struct raw_writer *w = (struct raw_writer *)writer;
	int error = new_file_commit(&w->file);

	free(w);
	return error;
}

static void raw_abandon(struct source_writer *writer)
{
	struct raw_writer *w = (struct raw_writer *)writer;

	new_file_abandon(&w->file);
	free(w);
}

static const struct source_writer_ops raw_writer_ops = {
	.create = raw_create,
	.write = raw_write,
	.commit = raw_commit,
	.abandon = raw_abandon,
};

const struct source_ops source_raw = {
	.name = "raw",
	.schemes = (const char *const[]){"raw:", NULL},
	.probe = raw_probe,
	.open = raw_open,
	.close = raw_close,
	.extent = raw_extent,
	.peek = raw_peek,
	.fetch = raw_fetch,
	.cancel = raw_cancel,
	.fd = raw_fd,
	.process = raw_process,
	.writer = &raw_writer_ops,
};
