/*
 * descriptor.c - what a descriptor is that a stranger has sent, and who the stranger is.
 */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* Bit 31 of the features in a userfaultfd's fdinfo. */
#define API_DONE (1ull << 31)

void peer_look(int socket, struct peer *p)
{
	struct ucred who = {.pid = 0, .uid = (uid_t)-1};
	socklen_t len = sizeof(who);
	int fd = -1;

	p->socket = socket;
	p->pidfd = -1;
	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0)
		who = (struct ucred){.pid = 0, .uid = (uid_t)-1};
	p->pid = who.pid;
	p->uid = who.uid;
	len = sizeof(fd);
	if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &len) == 0)
		p->pidfd = fd;
	else if (p->pid > 0)
		p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	if (p->pidfd >= 0)
		fcntl(p->pidfd, F_SETFD, FD_CLOEXEC);
}

static bool read_fdinfo(int fd, char *text, size_t size)
{
	char path[64];
	ssize_t n;
	int in;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	in = open(path, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return false;
	n = read(in, text, size - 1);
	close(in);
	text[n > 0 ? n : 0] = 0;
	return n > 0;
}

/* An epoll instance that locks a byte, or watches one datum, whose number is an id of Userfault's
 * (front/session.h). */
static bool of_another_session(const char *info)
{
	const char *lock = strstr(info, "OFDLCK"), *data = strstr(info, "data:");
	uint64_t start = 0;

	if (lock)
		sscanf(lock, "OFDLCK %*s %*s %*s %*s %" SCNu64, &start);
	else if (data)
		sscanf(data, "data: %" SCNx64, &start);
	return start >> 48 && start >> 63 == 0;
}

static int initialised(const char *info, char *why, size_t size)
{
	const char *api = strstr(info, "API:");
	uint64_t features = 0;

	if (!api || sscanf(api, "API: aa:%" SCNx64, &features) != 1) {
		snprintf(why, size, "its userfaultfd cannot be looked at");
		return -EINVAL;
	}
	if (!(features & API_DONE)) {
		snprintf(why, size, "its userfaultfd has not had UFFDIO_API");
		return -EINVAL;
	}
	return 0;
}

int descriptor_check_uffd(int fd, char *why, size_t why_size)
{
	char path[64], name[64] = "", info[4096] = "";
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, name, sizeof(name) - 1);
	name[n > 0 ? n : 0] = 0;
	read_fdinfo(fd, info, sizeof(info));
	if (strcmp(name, "anon_inode:[userfaultfd]") == 0)
		return initialised(info, why, why_size);
	if (strcmp(name, "anon_inode:[eventpoll]") == 0 && of_another_session(info))
		snprintf(why, why_size,
			 "its userfaultfd is of a session of Userfault that this server is not in; "
			 "start the server with 'userfault join'");
	else
		snprintf(why, why_size, "the descriptor that came first is no userfaultfd (%s)",
			 log_clean(name));
	return -EINVAL;
}

int descriptor_check_memfd(int fd, const struct message *m, char *why, size_t why_size)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		snprintf(why, why_size, "the descriptor that came second is no memory file");
		return -EINVAL;
	}
	if (flags < 0 || (flags & O_ACCMODE) != O_RDWR) {
		snprintf(why, why_size, "its memory file is not open for reading and writing");
		return -EINVAL;
	}
	for (size_t i = 0; i < m->n; i++) {
		const struct guest_region *r = &m->region[i];

		if (st.st_size < 0 || r->offset + r->size > (uint64_t)st.st_size) {
			snprintf(why, why_size,
				 "region %zu (%" PRIu64 " bytes from offset %" PRIu64
				 ") exceeds the memory file, which has %jd bytes",
				 i, r->size, r->offset, (intmax_t)st.st_size);
			return -EINVAL;
		}
	}
	return 0;
}
