/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

static void wait_poll(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	if (poll(&poll_fd, 1, -1) < 0 && errno != EINTR)
		die("poll");
}

static void wait_epoll(int epoll_fd)
{
	struct epoll_event event;

	if (epoll_wait(epoll_fd, &event, 1, -1) < 0 && errno != EINTR)
		die("epoll_wait");
}

static int epoll_on(int fd)
{
	struct epoll_event event = {.events = EPOLLIN};
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event))
		die("epoll");
	return epoll_fd;
}

static void resolve(const struct reader *r, const struct uffd_msg *msg)
{
	void *at = (void *)(uintptr_t)(msg->pagefault.address & ~(r->page_size - 1));

	check(msg->event == UFFD_EVENT_PAGEFAULT, "a message that is no page fault");
	switch (r->answer) {
	case ANSWER_COPY:
		uffd_copy(r->fd, at, r->page, r->page_size);
		break;
	case ANSWER_CONTINUE:
		uffd_continue(r->fd, at, r->page_size);
		break;
	case ANSWER_UNPROTECT:
		uffd_writeprotect(r->fd, at, r->page_size, 0);
		break;
	}
}

void reader_serve(struct reader *r)
{
	int epoll_fd = r->wait == WAIT_EPOLL ? epoll_on(r->fd) : -1;
	bool last = false;

	if (r->cpu >= 0)
		check(pin_to_cpu(r->cpu), "there is no CPU for the reader");
	while (!last) {
		struct uffd_msg msg;
		ssize_t n;

		if (r->wait == WAIT_POLL)
			wait_poll(r->fd);
		else if (r->wait == WAIT_EPOLL)
			wait_epoll(epoll_fd);
		n = read(r->fd, &msg, sizeof(msg));
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n != sizeof(msg))
			die("read of a message");
		/* Once the fault is resolved, the next one may be the last: this one is not. */
		last = atomic_load(&r->last);
		resolve(r, &msg);
	}
	if (epoll_fd >= 0)
		close(epoll_fd);
}

static void *reader_main(void *argument)
{
	reader_serve(argument);
	return NULL;
}

void reader_start(struct reader *r)
{
	errno = pthread_create(&r->thread, NULL, reader_main, r);
	if (errno)
		die("pthread_create");
}

void reader_finish(struct reader *r, volatile uint8_t *page)
{
	atomic_store(&r->last, true);
	*page = 0;
	errno = pthread_join(r->thread, NULL);
	if (errno)
		die("pthread_join");
}
