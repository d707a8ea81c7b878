/*
 * resize.h - calls that take pages out of files which managed memory may show.
 */
#ifndef UF_FRONT_RESIZE_H
#define UF_FRONT_RESIZE_H

#include "front/preload.h"

/* As the system calls of these names. */
long resize_ftruncate(int fd, off64_t size);
long resize_truncate(const char *path, off64_t size);
long resize_fallocate(int fd, int mode, off64_t off, off64_t len);

/* Opens with O_TRUNC a file that managed memory shows; false: it does not, or cannot be opened. */
bool resize_open_slow(int dir, const char *path, int flags, mode_t mode, long *fd);

static inline bool resize_open(int dir, const char *path, int flags, mode_t mode, long *fd)
{
	return unlikely((flags & O_TRUNC) && front_managing()) &&
	       resize_open_slow(dir, path, flags, mode, fd);
}

/* Before libc opens a stream in this mode, out of our sight. */
void resize_stream(const char *path, const char *mode);

#endif
