/* SPDX-License-Identifier: MIT */
/* server.c - serving descriptors, one's own and others'. */
#include "crash.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#define MESSAGES 8
#define DEATH_NS 5000000000ull

bool hand_over(int to, int fd, const struct handed *about)
{
	struct handed copy = *about;
	struct iovec iov = {&copy, sizeof(copy)};
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.room = {0}};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	return sendmsg(to, &msg, MSG_DONTWAIT) == (ssize_t)sizeof(copy);
}

/* A descriptor that somebody handed over; -1 when there is none. */
static int take_over(int inbox, struct handed *about)
{
	struct iovec iov = {about, sizeof(*about)};
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;
	int fd;

	if (recvmsg(inbox, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(*about))
		return -1;
	header = CMSG_FIRSTHDR(&msg);
	if (!header || header->cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

static void forget(struct server *s, unsigned i)
{
	if (!s->served[i].own)
		close(s->served[i].fd);
	s->count--;
	memmove(&s->served[i], &s->served[i + 1], (s->count - i) * sizeof(s->served[0]));
}

void server_add(struct server *s, int fd, const struct handed *about, bool own)
{
	/* Descriptors of forked children gather, which nobody says are dead. */
	for (unsigned i = 0; i < s->count && s->count == SERVED; i++) {
		if (s->served[i].child)
			forget(s, i);
	}
	MUST(s->count < SERVED);
	s->served[s->count].fd = fd;
	s->served[s->count].about = *about;
	s->served[s->count].own = own;
	s->served[s->count].child = false;
	s->count++;
}

/* Has its maker died, or made another since? */
static bool outdated(const struct handed *about)
{
	const struct member *m = &crew->member[about->member];

	return atomic_load(&m->epoch) != about->epoch || atomic_load(&m->context) != about->context;
}

/* There is nobody to serve: then the one whose memory it is has died, or is about to be found dead.
 */
static void must_have_died(const struct handed *about)
{
	uint64_t begin = now_ns();

	while (!outdated(about)) {
		if (now_ns() - begin > DEATH_NS)
			broken("a living process is said to be gone", about->member,
			       (long)about->context);
		sched_yield();
	}
}

/* Now and then the server does to the memory what its owner did not ask for. */
static void meddle(struct server *s, int fd, const struct handed *about)
{
	uint64_t pages = about->len / PAGE, first = below(&s->random, pages);
	uint64_t len = (1 + below(&s->random, pages - first)) * PAGE;
	uint64_t start = about->start + first * PAGE;
	int err = 0;

	switch (below(&s->random, 40)) {
	case 0 ... 2:
		err = uffd_protect(fd, start, len, true);
		break;
	case 3:
		err = uffd_protect(fd, start, len, false);
		break;
	case 4:
		err = uffd_unregister(fd, about->start, about->len);
		if (!err && !outdated(about))
			err = uffd_register(fd, about->start, about->len);
		break;
	default:
		break;
	}
	/* Gone, not registered at the moment, somebody else's by now, or being changed. */
	if (err && err != ESRCH && err != ENOENT && err != EINVAL && err != EBUSY &&
	    err != EAGAIN && err != EFAULT && err != ENOMEM)
		broken("an operation on another's memory failed", err, 0);
}

/* 0, or ESRCH: there is nobody left to serve. */
static int serve_fault(struct server *s, int fd, const struct uffd_msg *msg)
{
	uint64_t page = msg->pagefault.address & ~(PAGE - 1);
	int err;

	if (msg->pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) {
		err = uffd_protect(fd, page, PAGE, false);
	} else {
		for (size_t i = 0; i < PAGE / 8; i++)
			s->page[i] = pattern(page);
		err = uffd_copy(fd, page, s->page, below(&s->random, 4) ? 0 : UFFDIO_COPY_MODE_WP);
	}
	/* Filled by someone else, or not now: the thread shall look again. */
	if (err == EEXIST || err == EAGAIN)
		err = uffd_wake(fd, page, PAGE);
	if (err && err != ESRCH && err != ENOENT && err != EINVAL)
		broken("a fault could not be served", err, (long)msg->pagefault.flags);
	return err == ESRCH ? ESRCH : 0;
}

static void add_child(struct server *s, int fd, const struct handed *about)
{
	server_add(s, fd, about, false);
	s->served[s->count - 1].child = true;
}

static void serve(struct server *s, unsigned i)
{
	struct handed about = s->served[i].about;
	int fd = s->served[i].fd, err = 0;
	struct uffd_msg msg[MESSAGES];
	ssize_t got = read(fd, msg, sizeof(msg));

	for (ssize_t k = 0; k < got / (ssize_t)sizeof(*msg) && !err; k++) {
		if (msg[k].event == UFFD_EVENT_PAGEFAULT)
			err = serve_fault(s, fd, &msg[k]);
		else if (msg[k].event == UFFD_EVENT_FORK)
			add_child(s, (int)(uint32_t)msg[k].raw[0], &about);
		else
			broken("an event that nobody asked for", msg[k].event, 0);
	}
	if (err) {
		if (!s->served[i].child)
			must_have_died(&about);
		for (unsigned k = 0; k < s->count; k++) {
			if (s->served[k].fd == fd) {
				forget(s, k);
				break;
			}
		}
		return;
	}
	if (got > 0) {
		if (about.member != s->self)
			atomic_fetch_add(&crew->member[s->self].served, 1);
		meddle(s, fd, &about);
	}
}

void server_turn(struct server *s, int timeout_ms)
{
	struct pollfd poll_fd[SERVED + 1];
	struct handed about;
	unsigned count;
	int fd;

	for (unsigned i = s->count; i-- > 0;) {
		if (!s->served[i].own && outdated(&s->served[i].about))
			forget(s, i);
	}
	count = s->count;
	for (unsigned i = 0; i < count; i++)
		poll_fd[i] = (struct pollfd){.fd = s->served[i].fd, .events = POLLIN};
	poll_fd[count] = (struct pollfd){.fd = s->inbox, .events = POLLIN};
	if (poll(poll_fd, count + 1, timeout_ms) <= 0)
		return;
	for (unsigned i = 0; i < count; i++) {
		if (!(poll_fd[i].revents & POLLIN))
			continue;
		for (unsigned k = 0; k < s->count; k++) {
			if (s->served[k].fd == poll_fd[i].fd) {
				serve(s, k);
				break;
			}
		}
	}
	if (poll_fd[count].revents & POLLIN) {
		fd = take_over(s->inbox, &about);
		if (fd >= 0)
			server_add(s, fd, &about, false);
	}
}
