/*
 * open.c - open, fopen, readlink: the paths that mean something to us.
 *
 *   /dev/userfaultfd          a placeholder that UF_IOC_NEW works on, whatever the kernel has there
 *   /proc/self/pagemap        the real file, remembered: io.c corrects what is read from it
 *   /proc/meminfo             where huge pages are emulated (meminfo.c)
 *   /proc/self/fdinfo/N       of a userfaultfd: a memory file with what the kernel would say
 *   /proc/self/fd/N           readlink only
 *
 * "self" may also be thread-self, self/task/TID, or our own process id.
 */
#include "front/huge_fd.h"
#include "front/resize.h"

#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MFD_CLOEXEC
#define MFD_CLOEXEC 1u
#endif

/* ---- paths -------------------------------------------------------------------------------------
 */

static const char *skip(const char *path, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(path, prefix, len) == 0 ? path + len : NULL;
}

/* A decimal number that ends the path or a part of it; -1: none. */
static long number(const char **path)
{
	const char *p = *path;
	long n = 0;

	if (*p < '0' || *p > '9')
		return -1;
	for (; *p >= '0' && *p <= '9' && n < 1000000000; p++)
		n = n * 10 + (*p - '0');
	*path = p;
	return n;
}

/* What follows /proc/<ourselves>/, or NULL. */
static const char *in_own_proc(const char *path)
{
	const char *rest = skip(path, "/proc/"), *task;
	long pid;

	if (likely(!rest))
		return NULL;
	if (*rest >= '0' && *rest <= '9') {
		pid = number(&rest);
		if (pid != SYS(SYS_getpid) || *rest++ != '/')
			return NULL;
	} else if ((task = skip(rest, "self/"))) {
		rest = task;
	} else {
		return skip(rest, "thread-self/");
	}
	task = skip(rest, "task/");
	if (!task)
		return rest;
	return number(&task) >= 0 && *task == '/' ? task + 1 : NULL;
}

/* The N of <dir>/N, or -1. */
static int number_in(const char *rest, const char *dir)
{
	long n;

	rest = rest ? skip(rest, dir) : NULL;
	n = rest ? number(&rest) : -1;
	return rest && *rest == 0 ? (int)n : -1;
}

int path_fetch(const char *path, char *room)
{
	struct mach_entry entry;
	uint64_t at = (uintptr_t)path;
	size_t done = 0, part;
	int err;

	while (done < PATH_MAX) {
		part = UF_PAGE_SIZE - ((at + done) & ~UF_PAGE_MASK);
		part = part < PATH_MAX - done ? part : PATH_MAX - done;
		mach_enter(&entry);
		err = mach_copy_in(room + done, at + done, part);
		mach_leave(&entry);
		if (err)
			return err;
		if (memchr(room + done, 0, part))
			return 0;
		done += part;
	}
	return -ENAMETOOLONG;
}

/* ---- /dev/userfaultfd --------------------------------------------------------------------------
 */

static long remember(long fd, enum file_kind kind)
{
	struct file *f;
	int err;

	if (fd < 0)
		return fd;
	f = file_new(kind);
	err = f ? file_attach((int)fd, f) : -ENFILE;
	if (f)
		file_put(f);
	if (err) {
		SYS(SYS_close, fd);
		return err;
	}
	return fd;
}

static long open_device(int flags)
{
	const struct uffd_profile *profile = front_profile();

	if (profile && !profile->dev)
		return -ENOENT;
	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	if (flags & O_DIRECTORY)
		return -ENOTDIR;
	flags &= O_ACCMODE | O_CLOEXEC | O_NONBLOCK;
	return remember(SYS(SYS_openat, AT_FDCWD, "/dev/null", flags), FILE_DEV);
}

/* ---- fdinfo ------------------------------------------------------------------------------------
 */

/* Copies the lines every fdinfo has; the access mode is a userfaultfd's. */
static size_t common_lines(char *out, const char *in)
{
	static const char *const names[] = {"pos:", "flags:", "mnt_id:", "ino:"};
	char *to = out;
	unsigned i;

	while (*in) {
		const char *end = strchr(in, '\n');
		size_t len = end ? (size_t)(end - in) + 1 : strlen(in);

		for (i = 0; i < 4; i++)
			if (skip(in, names[i]))
				break;
		if (i == 1)
			to += sprintf(to, "flags:\t0%lo\n",
				      strtoul(in + strlen(names[1]), NULL, 8) & ~(long)O_ACCMODE);
		else if (i < 4) {
			memcpy(to, in, len);
			to += len;
		}
		in += len;
	}
	return (size_t)(to - out);
}

static long open_fdinfo(struct file *f, const char *path, int flags)
{
	char in[2048], out[4096];
	long fd, n;
	size_t len;

	fd = SYS(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fd;
	n = SYS(SYS_read, fd, in, sizeof(in) - 1);
	SYS(SYS_close, fd);
	in[n > 0 ? n : 0] = 0;
	len = common_lines(out, in);
	len += ufd_fdinfo(f, out + len, sizeof(out) - len);
	fd = SYS(SYS_memfd_create, "fdinfo", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
	if (fd < 0)
		return fd;
	SYS(SYS_pwrite64, fd, out, len, 0);
	return fd;
}

/*
 * /proc/PID/fd/N of a userfaultfd, anybody's: an epoll instance with a lock on it. It cannot be
 * opened; the host says so in other words to those whom its inode does not belong to.
 */
static bool is_uffd_under_proc(const char *path)
{
	static const char kind[] = "anon_inode:[eventpoll]";
	const char *fd = strstr(path, "/fd/");
	char text[512] = "", info[64];
	long in, n;

	if (!skip(path, "/proc/") || !fd || fd - path > 40 || strlen(fd) > 16 ||
	    SYS(SYS_readlink, path, text, sizeof(text)) != sizeof(kind) - 1 ||
	    memcmp(text, kind, sizeof(kind) - 1) != 0)
		return false;
	stpcpy(stpcpy((char *)memcpy(info, path, (size_t)(fd - path)) + (fd - path), "/fdinfo/"),
	       fd + strlen("/fd/"));
	in = SYS(SYS_openat, AT_FDCWD, info, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return false;
	n = SYS(SYS_read, in, text, sizeof(text) - 1);
	SYS(SYS_close, in);
	text[n > 0 ? n : 0] = 0;
	return strstr(text, "lock:") != NULL;
}

bool open_special(int dir, const char *path, int flags, long *fd)
{
	FILE_REF struct file *f = NULL;
	const char *rest;

	if (likely(!path || path[0] != '/' || (path[1] != 'p' && path[1] != 'd' && path[1] != 's')))
		return false;
	if (strcmp(path, "/dev/userfaultfd") == 0) {
		*fd = open_device(flags);
		return true;
	}
	if (meminfo_open(path, flags, fd))
		return true;
	if (is_uffd_under_proc(path)) {
		*fd = -ENXIO;
		return true;
	}
	rest = in_own_proc(path);
	if (!rest)
		return false;
	if (strcmp(rest, "pagemap") == 0) {
		*fd = remember(SYS(SYS_openat, dir, path, flags), FILE_PAGEMAP);
		return true;
	}
	if (!atomic_load_explicit(&front_live, memory_order_relaxed))
		return false;
	f = file_get_kind(number_in(rest, "fdinfo/"), FILE_UFFD);
	if (!f)
		return false;
	*fd = open_fdinfo(f, path, flags);
	return true;
}

/* ---- open --------------------------------------------------------------------------------------
 */

static mode_t mode_argument(int flags, va_list ap)
{
	return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(ap, mode_t) : 0;
}

#define OPEN(name)                                                                                 \
	EXPORT int name(const char *path, int flags, ...)                                          \
	{                                                                                          \
		va_list ap;                                                                        \
		mode_t mode;                                                                       \
		long fd;                                                                           \
                                                                                                   \
		PATH_READY(path);                                                                  \
		if (unlikely(open_special(AT_FDCWD, path, flags, &fd)))                            \
			return (int)sys_errno(fd);                                                 \
		va_start(ap, flags);                                                               \
		mode = mode_argument(flags, ap);                                                   \
		va_end(ap);                                                                        \
		if (resize_open(AT_FDCWD, path, flags, mode, &fd))                                 \
			return (int)sys_errno(fd);                                                 \
		return REAL(name)(path, flags, mode);                                              \
	}
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                               \
	EXPORT int name(int dir, const char *path, int flags, ...)                                 \
	{                                                                                          \
		va_list ap;                                                                        \
		mode_t mode;                                                                       \
		long fd;                                                                           \
                                                                                                   \
		PATH_READY(path);                                                                  \
		if (unlikely(open_special(dir, path, flags, &fd)))                                 \
			return (int)sys_errno(fd);                                                 \
		va_start(ap, flags);                                                               \
		mode = mode_argument(flags, ap);                                                   \
		va_end(ap);                                                                        \
		if (resize_open(dir, path, flags, mode, &fd))                                      \
			return (int)sys_errno(fd);                                                 \
		return REAL(name)(dir, path, flags, mode);                                         \
	}
OPENAT(openat)
OPENAT(openat64)

/* The forms of _FORTIFY_SOURCE. With O_CREAT and no mode libc's own complains. */
#define OPEN_2(name)                                                                               \
	EXPORT int name(const char *path, int flags)                                               \
	{                                                                                          \
		long fd;                                                                           \
                                                                                                   \
		PATH_READY(path);                                                                  \
		if (unlikely(open_special(AT_FDCWD, path, flags, &fd)) ||                          \
		    resize_open(AT_FDCWD, path, flags, 0, &fd))                                    \
			return (int)sys_errno(fd);                                                 \
		return REAL(name)(path, flags);                                                    \
	}
OPEN_2(__open_2)
OPEN_2(__open64_2)

#define OPENAT_2(name)                                                                             \
	EXPORT int name(int dir, const char *path, int flags)                                      \
	{                                                                                          \
		long fd;                                                                           \
                                                                                                   \
		PATH_READY(path);                                                                  \
		if (unlikely(open_special(dir, path, flags, &fd)) ||                               \
		    resize_open(dir, path, flags, 0, &fd))                                         \
			return (int)sys_errno(fd);                                                 \
		return REAL(name)(dir, path, flags);                                               \
	}
OPENAT_2(__openat_2)
OPENAT_2(__openat64_2)

/* ---- fopen -------------------------------------------------------------------------------------
 */

/* libc reads a stream's descriptor out of our sight; a cookie's functions are ours. */
static ssize_t cookie_read(void *cookie, char *buf, size_t n)
{
	return read((int)(intptr_t)cookie, buf, n);
}

static int cookie_seek(void *cookie, off64_t *offset, int whence)
{
	long at = SYS(SYS_lseek, (intptr_t)cookie, *offset, whence);

	if (at < 0)
		return (int)sys_errno(at);
	*offset = at;
	return 0;
}

static int cookie_close(void *cookie)
{
	return close((int)(intptr_t)cookie);
}

static FILE *stream_of(long fd, const char *path, const char *mode)
{
	const cookie_io_functions_t functions = {
		.read = cookie_read, .seek = cookie_seek, .close = cookie_close};
	FILE *stream;

	if (fd < 0) {
		sys_errno(fd);
		return NULL;
	}
	if (strstr(path, "/pagemap"))
		stream = fopencookie((void *)(intptr_t)fd, mode, functions);
	else
		stream = fdopen((int)fd, mode);
	if (!stream)
		close((int)fd);
	return stream;
}

static int flags_of(const char *mode)
{
	int flags = strchr(mode, '+') ? O_RDWR : mode[0] == 'r' ? O_RDONLY : O_WRONLY;

	return strchr(mode, 'e') ? flags | O_CLOEXEC : flags;
}

EXPORT FILE *fopen(const char *path, const char *mode)
{
	long fd;

	if (unlikely(open_special(AT_FDCWD, path, flags_of(mode), &fd)))
		return stream_of(fd, path, mode);
	resize_stream(path, mode);
	return REAL(fopen)(path, mode);
}

EXPORT FILE *fopen64(const char *path, const char *mode)
{
	long fd;

	if (unlikely(open_special(AT_FDCWD, path, flags_of(mode), &fd)))
		return stream_of(fd, path, mode);
	resize_stream(path, mode);
	return REAL(fopen64)(path, mode);
}

EXPORT FILE *freopen(const char *path, const char *mode, FILE *stream)
{
	if (path)
		resize_stream(path, mode);
	return REAL(freopen)(path, mode, stream);
}

EXPORT FILE *freopen64(const char *path, const char *mode, FILE *stream)
{
	if (path)
		resize_stream(path, mode);
	return REAL(freopen64)(path, mode, stream);
}

/* ---- readlink ----------------------------------------------------------------------------------
 */

/* The name to show for a descriptor of ours, or NULL. */
const char *open_link_name(const char *path)
{
	FILE_REF struct file *f = NULL;
	const char *rest;

	if (likely(!atomic_load_explicit(&files_used, memory_order_relaxed)) || !path)
		return NULL;
	rest = in_own_proc(path);
	f = file_get(rest ? number_in(rest, "fd/") : number_in(path, "/dev/fd/"));
	if (f && f->kind == FILE_UFFD)
		return "anon_inode:[userfaultfd]";
	return f && f->kind == FILE_DEV ? "/dev/userfaultfd" : NULL;
}

static ssize_t give_name(const char *name, char *buf, size_t n)
{
	size_t len = strlen(name);

	if (n == 0)
		return sys_errno(-EINVAL);
	len = len < n ? len : n;
	memcpy(buf, name, len);
	return (ssize_t)len;
}

#define READLINK(name, params, args)                                                               \
	EXPORT ssize_t name params                                                                 \
	{                                                                                          \
		const char *shown;                                                                 \
                                                                                                   \
		PATH_READY(path);                                                                  \
		shown = open_link_name(path);                                                      \
		return likely(!shown) ? REAL(name) args : give_name(shown, buf, n);                \
	}
READLINK(readlink, (const char *path, char *buf, size_t n), (path, buf, n))
READLINK(readlinkat, (int dir, const char *path, char *buf, size_t n), (dir, path, buf, n))
READLINK(__readlink_chk, (const char *path, char *buf, size_t n, size_t size), (path, buf, n, size))
READLINK(__readlinkat_chk, (int dir, const char *path, char *buf, size_t n, size_t size),
	 (dir, path, buf, n, size))
