/*
 * sockets.c - recv, send and their kin, for the sake of buffers in managed memory.
 */
#include "front/transfer.h"

#include <sys/socket.h>

/* Addresses and control data stay where the program has them. */
static long call_recvmsg(struct transfer *t, void *buf, size_t n)
{
	struct iovec iov = {buf, n};
	struct msghdr *msg = t->more, one = *msg;
	ssize_t ret;

	one.msg_iov = &iov;
	one.msg_iovlen = 1;
	ret = REAL(recvmsg)(t->fd, &one, t->flags);
	if (ret < 0)
		return -errno;
	msg->msg_namelen = one.msg_namelen;
	msg->msg_controllen = one.msg_controllen;
	msg->msg_flags = one.msg_flags;
	return ret;
}

static long call_sendmsg(struct transfer *t, void *buf, size_t n)
{
	struct iovec iov = {buf, n};
	struct msghdr one = *(const struct msghdr *)t->more;
	ssize_t ret;

	one.msg_iov = &iov;
	one.msg_iovlen = 1;
	ret = REAL(sendmsg)(t->fd, &one, t->flags);
	return ret < 0 ? -errno : ret;
}

static ssize_t receive(int fd, void *buf, size_t n, int flags, struct sockaddr *addr,
		       socklen_t *len)
{
	struct msghdr msg = {.msg_name = addr, .msg_namelen = addr && len ? *len : 0};
	struct transfer t = {.call = call_recvmsg, .fd = fd, .flags = flags, .more = &msg};
	long ret = transfer_in_one(&t, buf, n);

	if (ret >= 0 && addr && len)
		*len = msg.msg_namelen;
	return sys_errno(ret);
}

static bool keeps_messages(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type != SOCK_STREAM;
}

static ssize_t transmit(int fd, const void *buf, size_t n, int flags, const struct sockaddr *addr,
			socklen_t len)
{
	struct msghdr msg = {.msg_name = (void *)addr, .msg_namelen = addr ? len : 0};
	struct transfer t = {.call = call_sendmsg,
			     .fd = fd,
			     .flags = flags,
			     .message = keeps_messages(fd),
			     .more = &msg};

	return sys_errno(transfer_out_one(&t, buf, n));
}

EXPORT ssize_t recv(int fd, void *buf, size_t n, int flags)
{
	return likely(!transfer_concerns(buf, n, true)) ? REAL(recv)(fd, buf, n, flags)
							: receive(fd, buf, n, flags, NULL, NULL);
}

EXPORT ssize_t __recv_chk(int fd, void *buf, size_t n, size_t size, int flags)
{
	return likely(n > size || !transfer_concerns(buf, n, true))
		       ? REAL(__recv_chk)(fd, buf, n, size, flags)
		       : receive(fd, buf, n, flags, NULL, NULL);
}

EXPORT ssize_t recvfrom(int fd, void *buf, size_t n, int flags, struct sockaddr *addr,
			socklen_t *len)
{
	return likely(!transfer_concerns(buf, n, true))
		       ? REAL(recvfrom)(fd, buf, n, flags, addr, len)
		       : receive(fd, buf, n, flags, addr, len);
}

EXPORT ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t size, int flags,
			      struct sockaddr *addr, socklen_t *len)
{
	return likely(n > size || !transfer_concerns(buf, n, true))
		       ? REAL(__recvfrom_chk)(fd, buf, n, size, flags, addr, len)
		       : receive(fd, buf, n, flags, addr, len);
}

/* A message may be bad in more ways than one: it is looked at only while memory is managed. */
static bool msg_concerns(const struct msghdr *msg, bool write)
{
	struct mach_entry entry;
	struct msghdr m;
	int err;

	if (!front_managing())
		return false;
	mach_enter(&entry);
	err = mach_copy_in(&m, (uintptr_t)msg, sizeof(m));
	mach_leave(&entry);
	if (err || m.msg_iovlen > 1024)
		return false;
	mem_open(m.msg_name, m.msg_namelen, write);
	mem_open(m.msg_control, m.msg_controllen, write);
	return !mem_open_iov(m.msg_iov, (int)m.msg_iovlen, write);
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct transfer t = {.call = call_recvmsg, .fd = fd, .flags = flags, .more = msg};

	if (likely(!msg_concerns(msg, true)))
		return REAL(recvmsg)(fd, msg, flags);
	return sys_errno(transfer_in(&t, msg->msg_iov, (int)msg->msg_iovlen));
}

EXPORT ssize_t send(int fd, const void *buf, size_t n, int flags)
{
	return likely(!transfer_concerns(buf, n, false)) ? REAL(send)(fd, buf, n, flags)
							 : transmit(fd, buf, n, flags, NULL, 0);
}

EXPORT ssize_t sendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *addr,
		      socklen_t len)
{
	return likely(!transfer_concerns(buf, n, false))
		       ? REAL(sendto)(fd, buf, n, flags, addr, len)
		       : transmit(fd, buf, n, flags, addr, len);
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct transfer t = {.call = call_sendmsg, .fd = fd, .flags = flags, .more = (void *)msg};

	if (likely(!msg_concerns(msg, false)))
		return REAL(sendmsg)(fd, msg, flags);
	t.message = keeps_messages(fd);
	return sys_errno(transfer_out(&t, msg->msg_iov, (int)msg->msg_iovlen));
}
