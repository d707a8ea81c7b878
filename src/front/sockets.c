/*
 * sockets.c - what passes buffers to sockets.
 */
#include "front/preload.h"

#include <sys/socket.h>

EXPORT ssize_t send(int fd, const void *buf, size_t n, int flags)
{
	mem_ready(buf, n, false);
	return REAL(send)(fd, buf, n, flags);
}

EXPORT ssize_t sendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *to,
		      socklen_t len)
{
	mem_ready(buf, n, false);
	return REAL(sendto)(fd, buf, n, flags, to, len);
}

EXPORT ssize_t recv(int fd, void *buf, size_t n, int flags)
{
	mem_ready(buf, n, true);
	return REAL(recv)(fd, buf, n, flags);
}

EXPORT ssize_t recvfrom(int fd, void *buf, size_t n, int flags, struct sockaddr *from,
			socklen_t *len)
{
	mem_ready(buf, n, true);
	return REAL(recvfrom)(fd, buf, n, flags, from, len);
}

EXPORT ssize_t __recv_chk(int fd, void *buf, size_t n, size_t size, int flags)
{
	mem_ready(buf, n, true);
	return REAL(__recv_chk)(fd, buf, n, size, flags);
}

EXPORT ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t size, int flags,
			      struct sockaddr *from, socklen_t *len)
{
	mem_ready(buf, n, true);
	return REAL(__recvfrom_chk)(fd, buf, n, size, flags, from, len);
}

/* A message may be bad in more ways than one: it is looked at only while memory is managed. */
static void ready_msg(const struct msghdr *msg, bool write)
{
	struct mach_entry entry;
	struct msghdr m;
	int err;

	if (!front_managing())
		return;
	mach_enter(&entry);
	err = mach_copy_in(&m, (uintptr_t)msg, sizeof(m));
	mach_leave(&entry);
	if (err || m.msg_iovlen > 1024)
		return;
	mem_open(m.msg_name, m.msg_namelen, write);
	mem_open(m.msg_control, m.msg_controllen, write);
	mem_open_iov(m.msg_iov, (int)m.msg_iovlen, write);
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	ready_msg(msg, false);
	return REAL(sendmsg)(fd, msg, flags);
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	ready_msg(msg, true);
	return REAL(recvmsg)(fd, msg, flags);
}
