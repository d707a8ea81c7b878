/*
 * util_file.c - files that appear whole or not at all.
 */
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/fs.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

int write_all(int fd, const void *buf, size_t len, uint64_t offset)
{
	const char *p = buf;

	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENOSPC;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int read_all(int fd, void *buf, size_t len, uint64_t offset)
{
	char *p = buf;

	while (len) {
		ssize_t n = pread(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENODATA;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

/* The path with its links followed; of a file that is not there yet, its directory's. */
static int resolve(struct new_file *f, const char *path, bool exists)
{
	char *whole = NULL, *dir = NULL;
	const char *slash = strrchr(path, '/');
	int n = -1, error = 0;

	if (exists) {
		whole = realpath(path, NULL);
		if (!whole)
			return -errno;
		n = snprintf(f->path, sizeof(f->path), "%s", whole);
	} else {
		char *parent = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");

		dir = parent ? realpath(parent, NULL) : NULL;
		error = dir ? 0 : -errno;
		free(parent);
		if (error)
			return error;
		n = snprintf(f->path, sizeof(f->path), "%s/%s", strcmp(dir, "/") ? dir : "",
			     slash ? slash + 1 : path);
	}
	free(whole);
	free(dir);
	if (n < 0 || n >= (int)sizeof(f->path))
		return -ENAMETOOLONG;
	f->base = strrchr(f->path, '/') + 1;
	return *f->base ? 0 : -EISDIR;
}

/* Another name in the directory, that nobody has. */
static int temporary_name(struct new_file *f)
{
	uint64_t number;

	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number))
		number = (uint64_t)getpid() << 32 ^ (uintptr_t)f;
	if (snprintf(f->temporary, sizeof(f->temporary), ".%.200s.%016jx", f->base,
		     (uintmax_t)number) < 0)
		return -EIO;
	return 0;
}

static int open_new(struct new_file *f, mode_t mode)
{
	char parent[sizeof(f->path)];
	int error;

	snprintf(parent, sizeof(parent), "%.*s", (int)(f->base - f->path), f->path);
	f->dir = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (f->dir < 0)
		return -errno;
	f->fd = openat(f->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
	if (f->fd >= 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL)
		return -errno;
	error = temporary_name(f);
	if (error)
		return error;
	f->fd = openat(f->dir, f->temporary, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, mode);
	if (f->fd < 0) {
		error = -errno;
		f->temporary[0] = 0;
	}
	return error;
}

/* A device keeps its name; all that is not going to be written has to be zero. */
static int begin_device(struct new_file *f, uint64_t size, char *why, size_t why_size)
{
	uint64_t room, range[2] = {0, page_round(size)};

	f->device = true;
	f->fd = open(f->path, O_RDWR | O_CLOEXEC | O_EXCL);
	if (f->fd < 0)
		return source_why(why, why_size, -errno, "%s cannot be written: %s", f->path,
				  strerror(errno));
	if (ioctl(f->fd, BLKGETSIZE64, &room) != 0)
		return source_why(why, why_size, -errno, "%s does not tell its size: %s", f->path,
				  strerror(errno));
	if (room < size)
		return source_why(why, why_size, -ENOSPC,
				  "%s has %ju bytes, and the image %ju; it needs a larger device",
				  f->path, (uintmax_t)room, (uintmax_t)size);
	if (range[1] > room)
		range[1] = room;
	if (size && ioctl(f->fd, BLKZEROOUT, range) != 0)
		return source_why(why, why_size, -errno, "%s cannot be zeroed: %s", f->path,
				  strerror(errno));
	return 0;
}

int new_file_begin(struct new_file *f, const char *path, uint64_t size, char *why, size_t why_size)
{
	struct stat st;
	bool exists = stat(path, &st) == 0;
	mode_t mode = exists ? st.st_mode & 0777 : 0666;
	int error;

	*f = (struct new_file){.fd = -1, .dir = -1};
	error = resolve(f, path, exists);
	if (error)
		return source_why(why, why_size, error, "%s cannot be written: %s", path,
				  strerror(-error));
	if (exists && S_ISBLK(st.st_mode)) {
		error = begin_device(f, size, why, why_size);
	} else if (exists && !S_ISREG(st.st_mode)) {
		return source_why(why, why_size, -EINVAL,
				  "%s is neither a file nor a block device; it is not replaced",
				  path);
	} else {
		error = open_new(f, mode);
		if (error)
			source_why(why, why_size, error, "%s cannot be made: %s", path,
				   strerror(-error));
		else if (exists && fchmod(f->fd, mode) == 0 && geteuid() == 0)
			/* A file of another user's stays that user's, where that is allowed. */
			(void)!fchown(f->fd, st.st_uid, st.st_gid);
	}
	if (error)
		new_file_abandon(f);
	return error;
}

/* Gives the nameless a name to be renamed from. */
static int name_it(struct new_file *f)
{
	char self[32];
	int error = temporary_name(f);

	if (error)
		return error;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", f->fd);
	if (linkat(AT_FDCWD, self, f->dir, f->temporary, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	error = -errno;
	/* Without /proc it needs a privilege. */
	if (linkat(f->fd, "", f->dir, f->temporary, AT_EMPTY_PATH) == 0)
		return 0;
	f->temporary[0] = 0;
	return error;
}

int new_file_commit(struct new_file *f)
{
	int error = fsync(f->fd) == 0 ? 0 : -errno, parent;

	if (!error && !f->device) {
		error = f->temporary[0] ? 0 : name_it(f);
		if (!error && renameat(f->dir, f->temporary, f->dir, f->base) != 0)
			error = -errno;
		if (!error) {
			f->temporary[0] = 0;
			/* The name too; some file systems have no fsync of directories. */
			parent = openat(f->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			if (parent >= 0) {
				(void)fsync(parent);
				close(parent);
			}
		}
	}
	new_file_abandon(f);
	return error;
}

void new_file_abandon(struct new_file *f)
{
	if (f->temporary[0])
		unlinkat(f->dir, f->temporary, 0);
	if (f->fd >= 0)
		close(f->fd);
	if (f->dir >= 0)
		close(f->dir);
	*f = (struct new_file){.fd = -1, .dir = -1};
}
