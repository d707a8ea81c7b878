/*
 * session.c - the session of a run: the memory file that its processes share (front/session.h).
 */
#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "front/session.h"

/* RLIMIT_FSIZE counts for this file, too, though next to nothing of it takes memory. */
static int set_size(int fd)
{
	struct rlimit limit, wide;
	int ret, error;

	if (getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur >= SESSION_SIZE)
		return ftruncate(fd, SESSION_SIZE);
	wide = (struct rlimit){SESSION_SIZE, limit.rlim_max};
	if (limit.rlim_max < SESSION_SIZE)
		wide.rlim_max = SESSION_SIZE;
	if (setrlimit(RLIMIT_FSIZE, &wide) < 0) {
		errno = EFBIG;
		return -1;
	}
	ret = ftruncate(fd, SESSION_SIZE);
	error = errno;
	setrlimit(RLIMIT_FSIZE, &limit);
	errno = error;
	return ret;
}

/* Above what programs use, and not closed by an exec. */
static int move_up(int low)
{
	int floor = host_fd_floor(), high = -1;

	for (; low >= 0 && high < 0 && floor > STDERR_FILENO; floor /= 2)
		high = fcntl(low, F_DUPFD, floor);
	if (low >= 0)
		close(low);
	return high;
}

static int fill(int fd, const char *program)
{
	struct session_header h = {
		SESSION_LAYOUT,
		.made = (uint64_t)time(NULL),
		.maker = (uint32_t)getpid(),
	};
	const char *name = strrchr(program, '/');

	if (getrandom(&h.id, sizeof(h.id), 0) != sizeof(h.id))
		return -1;
	snprintf(h.program, sizeof(h.program), "%s", name ? name + 1 : program);
	return pwrite(fd, &h, sizeof(h), 0) == sizeof(h) ? 0 : -1;
}

static int name_it(int fd)
{
	struct stat st;
	char name[64];

	if (fstat(fd, &st) < 0)
		return -1;
	snprintf(name, sizeof(name), "%d:%llu", fd, (unsigned long long)st.st_ino);
	return setenv(SESSION_ENV, name, 1);
}

int session_make(const char *program)
{
	int fd = move_up(memfd_create(SESSION_FILE_NAME, 0));

	if (fd >= 0 && fchmod(fd, 0600) == 0 && set_size(fd) == 0 && fill(fd, program) == 0 &&
	    name_it(fd) == 0)
		return fd;
	if (errno == EFBIG)
		complain("the limit on the size of files is too small for a session; 'ulimit -f' "
			 "raises that");
	else if (errno == EMFILE || errno == EINVAL)
		complain("the limit on descriptors is too small for a session; 'ulimit -n' raises "
			 "that");
	else
		complain("a session cannot be made: %s", strerror(errno));
	return -1;
}

const struct session_header *session_map(int fd)
{
	void *map = mmap(NULL, SESSION_DOORS_AT, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);

	return map == MAP_FAILED ? NULL : map;
}
