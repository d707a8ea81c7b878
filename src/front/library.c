/*
 * library.c - what the library takes from libc, where the interposer has to look behind itself.
 */
#include "front/front.h"

#include <unistd.h>

ssize_t front_read(int fd, void *buf, size_t count)
{
	return read(fd, buf, count);
}
