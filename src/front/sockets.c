/*
 * sockets.c - recv, send and their kin, for the sake of buffers in managed memory.
 */
#include "front/calls.h"
#include "front/pass.h"
#include "front/preload.h"

EXPORT ssize_t recv(int fd, void *buf, size_t n, int flags)
{
	return likely(!calls_concern(buf, n)) ? REAL(recv)(fd, buf, n, flags)
					      : CALLS_POINT(SYS_recvfrom, fd, buf, n, flags);
}

EXPORT ssize_t __recv_chk(int fd, void *buf, size_t n, size_t size, int flags)
{
	return likely(n > size || !calls_concern(buf, n))
		       ? REAL(__recv_chk)(fd, buf, n, size, flags)
		       : CALLS_POINT(SYS_recvfrom, fd, buf, n, flags);
}

EXPORT ssize_t recvfrom(int fd, void *buf, size_t n, int flags, struct sockaddr *addr,
			socklen_t *len)
{
	return likely(!front_managing()) ? REAL(recvfrom)(fd, buf, n, flags, addr, len)
					 : CALLS_POINT(SYS_recvfrom, fd, buf, n, flags, addr, len);
}

EXPORT ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t size, int flags,
			      struct sockaddr *addr, socklen_t *len)
{
	return likely(n > size || !front_managing())
		       ? REAL(__recvfrom_chk)(fd, buf, n, size, flags, addr, len)
		       : CALLS_POINT(SYS_recvfrom, fd, buf, n, flags, addr, len);
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t n = likely(!front_managing()) ? REAL(recvmsg)(fd, msg, flags)
					      : CALLS_POINT(SYS_recvmsg, fd, msg, flags);

	if (n >= 0 && pass_concerns())
		pass_received((uintptr_t)msg);
	return n;
}

EXPORT ssize_t send(int fd, const void *buf, size_t n, int flags)
{
	return likely(!calls_concern(buf, n)) ? REAL(send)(fd, buf, n, flags)
					      : CALLS_POINT(SYS_sendto, fd, buf, n, flags);
}

EXPORT ssize_t sendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *addr,
		      socklen_t len)
{
	return likely(!front_managing()) ? REAL(sendto)(fd, buf, n, flags, addr, len)
					 : CALLS_POINT(SYS_sendto, fd, buf, n, flags, addr, len);
}

/* libc of 2.36 and later has it. */
int pidfd_getfd(int pidfd, int theirs, unsigned flags);
EXPORT int pidfd_getfd(int pidfd, int theirs, unsigned flags)
{
	long fd = SYS(SYS_pidfd_getfd, pidfd, theirs, flags);

	if (fd >= 0 && pass_concerns())
		pass_arrived((int)fd);
	return (int)sys_errno(fd);
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	if (unlikely(atomic_load_explicit(&front_live, memory_order_relaxed)))
		pass_sent((uintptr_t)msg);
	return likely(!front_managing()) ? REAL(sendmsg)(fd, msg, flags)
					 : CALLS_POINT(SYS_sendmsg, fd, msg, flags);
}
