/*
 * pass.c - descriptors that travel in messages.
 */
#include "front/pass.h"

#include "front/front.h"
#include "front/ledger.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* The host lets a message have 253 descriptors. */
#define CONTROL_MOST 4096u

bool pass_concerns(void)
{
	return ledger_header() || ledger_named();
}

/* The control data, as far as it is kept here; how much. */
static size_t fetch_control(uint64_t at, char *control)
{
	struct msghdr msg;

	if (mach_copy_in(&msg, at, sizeof(msg)) < 0 || !msg.msg_control ||
	    msg.msg_controllen < sizeof(struct cmsghdr))
		return 0;
	if (msg.msg_controllen > CONTROL_MOST)
		msg.msg_controllen = CONTROL_MOST;
	return mach_copy_in(control, (uintptr_t)msg.msg_control, msg.msg_controllen) < 0
		       ? 0
		       : msg.msg_controllen;
}

static void each_fd(const char *control, size_t len, void (*fn)(int fd))
{
	const struct cmsghdr *c;
	size_t at = 0, i, n;
	int fd;

	while (at + sizeof(*c) <= len) {
		c = (const struct cmsghdr *)(control + at);
		if (c->cmsg_len < sizeof(*c) || c->cmsg_len > len - at)
			return;
		n = c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS
			    ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(fd)
			    : 0;
		for (i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			fn(fd);
		}
		at += CMSG_ALIGN(c->cmsg_len);
	}
}

static void each_fd_of(uint64_t msg, void (*fn)(int fd))
{
	char control[CONTROL_MOST] __attribute__((aligned(16)));
	struct mach_entry entry;
	size_t len;

	mach_enter(&entry);
	len = fetch_control(msg, control);
	mach_leave(&entry);
	each_fd(control, len, fn);
}

static void leaves(int fd)
{
	struct file *f = file_get_kind(fd, FILE_UFFD);

	if (!f)
		return;
	ufd_leaves(f);
	file_put(f);
}

/* A number that the table has something else for was closed without a word. */
void pass_arrived(int fd)
{
	struct file *f;

	file_detach(fd);
	ufd_recognise(fd, &f);
	if (f)
		file_put(f);
}

void pass_sent(uint64_t msg)
{
	each_fd_of(msg, leaves);
}

/* Looked at only where the kernel has just written; without a handler of faults that needs one. */
void pass_received(uint64_t msg)
{
	const struct msghdr *m = (const struct msghdr *)msg;

	if (atomic_load(&front_live))
		each_fd_of(msg, pass_arrived);
	else if (m->msg_control)
		each_fd(m->msg_control, m->msg_controllen, pass_arrived);
}

int pass_send(const struct sockaddr_un *name, uint32_t len, int fd)
{
	char byte = 0, room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(16))) = {0};
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_name = (void *)name,
			     .msg_namelen = len,
			     .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = room,
			     .msg_controllen = sizeof(room)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	long sock = SYS(SYS_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), ret;

	if (sock < 0)
		return (int)sock;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	ret = SYS(SYS_sendmsg, sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	SYS(SYS_close, sock);
	return ret < 0 ? (int)ret : 0;
}

int pass_receive(int sock, bool cloexec)
{
	char byte, room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(16)));
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = room,
			     .msg_controllen = sizeof(room)};
	struct cmsghdr *c;
	int fd = -EPERM;
	long n;

	n = SYS(SYS_recvmsg, sock, &msg, MSG_DONTWAIT | (cloexec ? MSG_CMSG_CLOEXEC : 0));
	c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return n < 0 ? (int)n : fd;
}
