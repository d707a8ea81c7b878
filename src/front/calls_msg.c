/*
 * calls_msg.c - messages: recvmsg, sendmsg and their kin on managed memory.
 */
#include "front/calls_data.h"

#include <string.h>
#include <sys/socket.h>

#define SMALL 1024u

/* Are the parts of a message worth a look? A vector names memory that we have not seen yet. */
static bool far(uint64_t buf, size_t n, uint64_t addr, uint64_t len)
{
	return !front_managing() ||
	       (!mem_near_managed((void *)buf, n) && !mem_near_managed((void *)addr, 1) &&
		!mem_near_managed((void *)len, 1));
}

/* ---- In ----------------------------------------------------------------------------------------
 */

/* One message by way of our buffers. name and control: how much room there is. */
static long receive(int fd, struct msghdr *msg, struct pieces *p, int flags)
{
	char small[SMALL] __attribute__((aligned(16)));
	size_t data = pieces_size(p), name = msg->msg_namelen, control = msg->msg_controllen;
	struct msghdr ours = *msg;
	CALLS_ROOM room = {0};
	struct iovec iov;
	uint64_t kept;
	long ret;

	/* The kernel believes no more of these. */
	name = !msg->msg_name ? 0 : name < 128 ? name : 128;
	control = !msg->msg_control ? 0 : control < (1u << 20) ? control : 1u << 20;
	if (!calls_room_get(&room, small, sizeof(small), 128 + ((control + 15) & ~15ul) + data))
		return -ENOMEM;
	ours.msg_name = name ? room.at : NULL;
	ours.msg_namelen = (socklen_t)name;
	ours.msg_control = control ? (char *)room.at + 128 : NULL;
	ours.msg_controllen = control;
	iov = (struct iovec){(char *)room.at + 128 + ((control + 15) & ~15ul), data};
	ours.msg_iov = &iov;
	ours.msg_iovlen = 1;
	ret = GATE_RAW(SYS_recvmsg, fd, &ours, flags);
	if (ret < 0)
		return ret;
	/* A datagram that was cut off may say that it was longer. */
	kept = (uint64_t)ret < data ? (uint64_t)ret : data;
	if (pieces_copy(p, iov.iov_base, kept) < kept)
		return -EFAULT;
	name = ours.msg_namelen < name ? ours.msg_namelen : name;
	if (name && calls_copy_out((uintptr_t)msg->msg_name, room.at, name) != 0)
		return -EFAULT;
	if (ours.msg_controllen &&
	    calls_copy_out((uintptr_t)msg->msg_control, ours.msg_control, ours.msg_controllen) != 0)
		return -EFAULT;
	msg->msg_namelen = ours.msg_namelen;
	msg->msg_controllen = ours.msg_controllen;
	msg->msg_flags = ours.msg_flags;
	return ret;
}

static long receive_from(const long a[6])
{
	struct msghdr msg = {.msg_name = (void *)a[4]};
	PIECES p = {.write = true};
	uint32_t len = 0;
	long ret;

	if (likely(far((uint64_t)a[1], (size_t)a[2], (uint64_t)a[4], (uint64_t)a[5])))
		return gate_raw(SYS_recvfrom, a);
	if (a[4] && calls_copy_in(&len, (uint64_t)a[5], sizeof(len)) != 0)
		return -EFAULT;
	pieces_one(&p, (uint64_t)a[1], (uint64_t)a[2]);
	if ((!pieces_managed(&p) && !calls_managed((uint64_t)a[4], len) &&
	     !calls_managed((uint64_t)a[5], sizeof(len))) ||
	    (int32_t)len < 0)
		return gate_raw(SYS_recvfrom, a);
	msg.msg_namelen = len;
	ret = receive((int)a[0], &msg, &p, (int)a[3]);
	len = msg.msg_namelen;
	if (ret >= 0 && a[4] && calls_copy_out((uint64_t)a[5], &len, sizeof(len)) != 0)
		return -EFAULT;
	return ret;
}

static bool msg_managed(const struct msghdr *msg, const struct pieces *p)
{
	return pieces_managed(p) || calls_managed((uintptr_t)msg->msg_name, msg->msg_namelen) ||
	       calls_managed((uintptr_t)msg->msg_control, msg->msg_controllen);
}

/* at: where the program has it. */
static long receive_message(int fd, uint64_t at, int flags)
{
	const long as_it_is[6] = {fd, (long)at, flags};
	PIECES p = {.write = true};
	struct msghdr msg, was;
	long ret;

	if (likely(!front_managing()))
		return gate_raw(SYS_recvmsg, as_it_is);
	if (calls_copy_in(&msg, at, sizeof(msg)) != 0)
		return -EFAULT;
	ret = pieces_get(&p, (uintptr_t)msg.msg_iov, msg.msg_iovlen);
	if (ret == -EFAULT)
		return ret;
	if (ret || (!msg_managed(&msg, &p) && !calls_managed(at, sizeof(msg))))
		return gate_raw(SYS_recvmsg, as_it_is);
	was = msg;
	ret = receive(fd, &msg, &p, flags);
	if (ret < 0)
		return ret;
	/* The kernel writes no more of the header than what it has to say. */
	if ((was.msg_name && calls_copy_out(at + offsetof(struct msghdr, msg_namelen),
					    &msg.msg_namelen, sizeof(msg.msg_namelen)) != 0) ||
	    calls_copy_out(at + offsetof(struct msghdr, msg_flags), &msg.msg_flags,
			   sizeof(msg.msg_flags)) != 0 ||
	    calls_copy_out(at + offsetof(struct msghdr, msg_controllen), &msg.msg_controllen,
			   sizeof(msg.msg_controllen)) != 0)
		return -EFAULT;
	return ret;
}

long calls_recv(long nr, const long a[6])
{
	return nr == SYS_recvfrom ? receive_from(a)
				  : receive_message((int)a[0], (uint64_t)a[1], (int)a[2]);
}

/* ---- Out ---------------------------------------------------------------------------------------
 */

/* What is not data: the address and what comes along. */
static enum calls_found make_head(const struct msghdr *msg)
{
	enum calls_found found = CALLS_READY;

	if (msg->msg_name)
		found = calls_make((uintptr_t)msg->msg_name, msg->msg_namelen, false);
	if (found == CALLS_READY && msg->msg_control)
		found = calls_make((uintptr_t)msg->msg_control, msg->msg_controllen, false);
	return found;
}

/* A message that never is in memory as a whole, where that is limited, goes by way of a buffer. */
static long gather(int fd, struct msghdr *msg, struct pieces *p, int flags)
{
	size_t size = pieces_size(p);
	CALLS_ROOM room = {0};
	struct iovec iov;

	if (!calls_room_get(&room, NULL, 0, size))
		return -ENOMEM;
	if (pieces_copy(p, room.at, size) < size)
		return -EFAULT;
	iov = (struct iovec){room.at, size};
	msg->msg_iov = &iov;
	msg->msg_iovlen = 1;
	return GATE_RAW(SYS_sendmsg, fd, msg, flags);
}

static long transmit(int fd, struct msghdr *msg, struct pieces *p, int flags)
{
	uint64_t done = 0, made = 0;
	enum calls_found found;
	unsigned tries = 0;
	long ret;

	for (;;) {
		if (made++ > pieces_size(p) / UF_PAGE_SIZE + CALLS_TRIES * p->n && !done)
			return gather(fd, msg, p, flags);
		msg->msg_iov = p->iov;
		msg->msg_iovlen = p->n;
		ret = GATE_RAW(SYS_sendmsg, fd, msg, flags);
		if (ret == -EFAULT && !done) {
			found = make_head(msg);
			if (found == CALLS_MADE)
				continue;
			if (found == CALLS_BAD)
				break;
		}
		if (!pieces_go_on(p, fd, ret, &done, &tries))
			break;
		/* What comes along went with the first part. */
		if (done)
			msg->msg_controllen = 0;
	}
	return done ? (long)done : ret;
}

static long send_to(const long a[6])
{
	struct msghdr msg = {.msg_name = (void *)a[4], .msg_namelen = a[4] ? (socklen_t)a[5] : 0};
	PIECES p = {0};

	if (likely(far((uint64_t)a[1], (size_t)a[2], (uint64_t)a[4], 0)))
		return gate_raw(SYS_sendto, a);
	pieces_one(&p, (uint64_t)a[1], (uint64_t)a[2]);
	if (!msg_managed(&msg, &p))
		return gate_raw(SYS_sendto, a);
	return transmit((int)a[0], &msg, &p, (int)a[3]);
}

static long send_message(int fd, uint64_t at, int flags)
{
	const long as_it_is[6] = {fd, (long)at, flags};
	struct msghdr msg;
	PIECES p = {0};
	long ret;

	if (likely(!front_managing()))
		return gate_raw(SYS_sendmsg, as_it_is);
	if (calls_copy_in(&msg, at, sizeof(msg)) != 0)
		return -EFAULT;
	ret = pieces_get(&p, (uintptr_t)msg.msg_iov, msg.msg_iovlen);
	if (ret == -EFAULT)
		return ret;
	if (ret || (!msg_managed(&msg, &p) && !calls_managed(at, sizeof(msg))))
		return gate_raw(SYS_sendmsg, as_it_is);
	return transmit(fd, &msg, &p, flags);
}

long calls_send(long nr, const long a[6])
{
	return nr == SYS_sendto ? send_to(a) : send_message((int)a[0], (uint64_t)a[1], (int)a[2]);
}

/* ---- Several at a time -------------------------------------------------------------------------
 */

/* Does the time that recvmmsg may take end? */
static bool late(uint64_t since, const struct timespec *limit)
{
	return (mach_now() - since) / 1000000000u >= (uint64_t)limit->tv_sec &&
	       mach_now() - since >=
		       (uint64_t)limit->tv_sec * 1000000000u + (uint64_t)limit->tv_nsec;
}

/* One after the other, as the kernel does it; the last error is lost if any came before. */
long calls_many(long nr, const long a[6])
{
	uint64_t at = (uint64_t)a[1], since = mach_now();
	bool in = nr == SYS_recvmmsg;
	int flags = (int)a[3] & ~MSG_WAITFORONE;
	struct timespec limit;
	unsigned i;
	long ret;

	if (likely(!front_managing()))
		return gate_raw(nr, a);
	if (in && a[4] && calls_copy_in(&limit, (uint64_t)a[4], sizeof(limit)) != 0)
		return -EFAULT;
	for (i = 0; i < (unsigned)a[2] && i < 1024; i++, at += sizeof(struct mmsghdr)) {
		uint32_t len;

		ret = in ? receive_message((int)a[0], at, flags)
			 : send_message((int)a[0], at, flags);
		if (ret < 0)
			return i ? (long)i : ret;
		len = (uint32_t)ret;
		if (calls_copy_out(at + offsetof(struct mmsghdr, msg_len), &len, sizeof(len)) != 0)
			return i ? (long)i : -EFAULT;
		if (in && (a[3] & MSG_WAITFORONE))
			flags |= MSG_DONTWAIT;
		if (in && a[4] && late(since, &limit))
			return i + 1;
	}
	return i;
}
