/* SPDX-License-Identifier: MIT */
/* What the tests of libc's own system calls share: a thread that answers faults. */
#ifndef LIBC_SERVE_H
#define LIBC_SERVE_H

#include "abi.h"

struct server {
	struct thread thread;
	int fd;
	int stop[2];
	/* What each page is to contain; NULL: zeroes. */
	const char *(*contents)(const char *page);
	_Atomic unsigned faults;
};

static void serve_one(struct server *s)
{
	struct uffd_msg msg;
	const char *page, *from;

	if (read(s->fd, &msg, sizeof(msg)) != (ssize_t)sizeof(msg))
		return;
	EQ(msg.event, UFFD_EVENT_PAGEFAULT);
	page = (const char *)(msg.pagefault.address & -PG);
	from = s->contents ? s->contents(page) : NULL;
	atomic_fetch_add(&s->faults, 1);
	if (msg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP)
		EQ(protect(s->fd, page, PG, 0), 0);
	else if (from)
		DONE(copy(s->fd, page, from, PG, 0), PG);
	else
		DONE(zeropage(s->fd, page, PG, 0), PG);
}

static void *serve_main(void *arg)
{
	struct server *s = arg;
	struct pollfd fds[2] = {{.fd = s->fd, .events = POLLIN},
				{.fd = s->stop[0], .events = POLLIN}};

	for (;;) {
		EQ(poll(fds, 2, -1) > 0, 1);
		if (fds[1].revents)
			return NULL;
		serve_one(s);
	}
}

static inline void serve(struct server *s, int fd, const char *(*contents)(const char *page))
{
	s->fd = fd;
	s->contents = contents;
	s->faults = 0;
	EQ(pipe(s->stop), 0);
	run(&s->thread, serve_main, s);
}

/* The faults since it was last asked. */
static inline unsigned served(struct server *s)
{
	return atomic_exchange(&s->faults, 0);
}

static inline void serve_no_more(struct server *s)
{
	EQ(write(s->stop[1], "", 1), 1);
	join(&s->thread);
	close(s->stop[0]);
	close(s->stop[1]);
}

#endif
