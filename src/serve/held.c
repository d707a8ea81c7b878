/*
 * held.c - the descriptors that outlive a server, and how keeper and server hand them to each
 * other: words of one size over a pair of sockets that keep their boundaries.
 *
 * Either side may be of another version, and either may be half way through something when the
 * other dies: what does not hold is refused, and its descriptors are closed.
 */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORD_MAGIC 0x64726f57u

static const int none[HELD_FDS] = {-1, -1, -1, -1, -1};

/* ---- the table
 */

void held_begin(struct held *h)
{
	*h = (struct held){0};
	memcpy(h->base, none, sizeof(none));
}

void held_free(struct held *h)
{
	free(h->guest);
	h->guest = NULL;
	h->n = h->room = 0;
}

void held_close(int fd[HELD_FDS])
{
	for (int i = 0; i < HELD_FDS; i++) {
		if (fd[i] >= 0)
			close(fd[i]);
		fd[i] = -1;
	}
}

struct held_guest *held_find(struct held *h, uint32_t number)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->guest[i].number == number)
			return &h->guest[i];
	return NULL;
}

int held_put(struct held *h, uint32_t number, const int fd[HELD_FDS])
{
	struct held_guest *g = held_find(h, number);

	if (!g && h->n == h->room) {
		size_t room = h->room ? 2 * h->room : 64;
		struct held_guest *more = realloc(h->guest, room * sizeof(*more));

		if (!more) {
			int gone[HELD_FDS];

			memcpy(gone, fd, sizeof(gone));
			held_close(gone);
			return -ENOMEM;
		}
		h->guest = more;
		h->room = room;
	}
	if (g)
		held_close(g->fd);
	else
		g = &h->guest[h->n++];
	g->number = number;
	memcpy(g->fd, fd, sizeof(g->fd));
	return 0;
}

void held_put_base(struct held *h, const int fd[HELD_FDS])
{
	for (int i = 0; i < HELD_FDS; i++) {
		if (fd[i] < 0)
			continue;
		if (h->base[i] >= 0)
			close(h->base[i]);
		h->base[i] = fd[i];
	}
}

void held_drop(struct held *h, uint32_t number)
{
	struct held_guest *g = held_find(h, number);

	if (!g)
		return;
	held_close(g->fd);
	*g = h->guest[--h->n];
}

void held_prune(struct held *h)
{
	for (size_t i = h->n; i-- > 0;) {
		struct held_guest *g = &h->guest[i];

		if (g->number & HELD_CONNECTION || (g->fd[HELD_FILE] >= 0 && g->fd[HELD_UFFD] >= 0))
			continue;
		say(ENGINE_ERROR, "guest %u cannot be served any more: its %s is lost", g->number,
		    g->fd[HELD_UFFD] < 0 ? "userfaultfd" : "state");
		held_drop(h, g->number);
	}
}

/* ---- words
 */

void word_begin(struct word *w, enum word_kind kind)
{
	*w = (struct word){.magic = WORD_MAGIC, .version = HANDOVER_VERSION, .kind = kind};
}

int word_send(int channel, struct word *w, const int fd[HELD_FDS])
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(HELD_FDS * sizeof(int))];
	struct iovec iov = {.iov_base = w, .iov_len = sizeof(*w)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	int out[HELD_FDS];
	size_t n = 0;
	ssize_t sent;

	w->mask = 0;
	for (int i = 0; fd && i < HELD_FDS; i++) {
		if (fd[i] < 0)
			continue;
		w->mask |= 1u << i;
		out[n++] = fd[i];
	}
	if (n > 0) {
		struct cmsghdr *c = (struct cmsghdr *)control;

		memset(control, 0, sizeof(control));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), out, n * sizeof(int));
		m.msg_control = control;
		m.msg_controllen = CMSG_SPACE(n * sizeof(int));
	}
	do
		sent = sendmsg(channel, &m, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

static int take_descriptors(struct msghdr *m, int in[HELD_FDS])
{
	int n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t len = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < len / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (n < HELD_FDS)
				in[n++] = fd;
			else
				close(fd);
		}
	}
	return n;
}

static bool word_valid(const struct word *w, ssize_t len, int n, int flags)
{
	return len == sizeof(*w) && !(flags & (MSG_TRUNC | MSG_CTRUNC)) && w->magic == WORD_MAGIC &&
	       w->version == HANDOVER_VERSION && w->kind > 0 && w->kind < WORD_KINDS &&
	       w->mask < 1u << HELD_FDS && __builtin_popcount(w->mask) == n &&
	       memchr(w->text, 0, sizeof(w->text));
}

int word_receive(int channel, struct word *w, int fd[HELD_FDS])
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(HELD_FDS * sizeof(int))];
	struct iovec iov = {.iov_base = w, .iov_len = sizeof(*w)};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	int in[HELD_FDS], n, next = 0;
	bool reset = false;
	ssize_t len;

	memcpy(fd, none, sizeof(none));
	memcpy(in, none, sizeof(none));
	/* That the other side died with words unread is said once, before what it had sent. */
	len = recvmsg(channel, &m, MSG_CMSG_CLOEXEC);
	while (len < 0 && (errno == EINTR || (errno == ECONNRESET && !reset))) {
		reset |= errno == ECONNRESET;
		len = recvmsg(channel, &m, MSG_CMSG_CLOEXEC);
	}
	if (len < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	n = take_descriptors(&m, in);
	if (len == 0 && n == 0)
		return -EPIPE;
	if (!word_valid(w, len, n, m.msg_flags)) {
		held_close(in);
		return -EPROTO;
	}
	for (int i = 0; i < HELD_FDS; i++)
		if (w->mask & 1u << i)
			fd[i] = in[next++];
	return 0;
}

int held_send(int channel, const struct held *h)
{
	struct word w;
	int error;

	word_begin(&w, WORD_BASE);
	w.pid = getpid();
	error = word_send(channel, &w, h->base);
	for (size_t i = 0; i < h->n && !error; i++) {
		word_begin(&w, WORD_GUEST);
		w.number = h->guest[i].number;
		error = word_send(channel, &w, h->guest[i].fd);
	}
	word_begin(&w, WORD_ALL);
	return error ? error : word_send(channel, &w, NULL);
}

int held_apply(struct held *h, const struct word *w, const int fd[HELD_FDS])
{
	switch (w->kind) {
	case WORD_BASE:
		held_put_base(h, fd);
		return 0;
	case WORD_GUEST:
		if (w->connection)
			held_drop(h, w->connection);
		return held_put(h, w->number, fd);
	case WORD_GONE:
		held_drop(h, w->number);
		return 0;
	default: {
		int gone[HELD_FDS];

		memcpy(gone, fd, sizeof(gone));
		held_close(gone);
		return -EPROTO;
	}
	}
}

/* ---- over an exec
 */

#define MANIFEST_MAGIC 0x3153464e414d4655ull

struct manifest {
	uint64_t magic;
	uint32_t version, guests;
	int64_t extra[MANIFEST_EXTRA];
	int32_t base[HELD_FDS];
};

struct manifest_guest {
	uint32_t number;
	int32_t fd[HELD_FDS];
};

static void keep_open(const int fd[HELD_FDS], bool keep)
{
	for (int i = 0; i < HELD_FDS; i++)
		if (fd[i] >= 0)
			fcntl(fd[i], F_SETFD, keep ? 0 : FD_CLOEXEC);
}

static bool write_all(int fd, const void *buf, size_t len)
{
	return write(fd, buf, len) == (ssize_t)len;
}

int manifest_write(const struct held *h, const int64_t extra[MANIFEST_EXTRA], bool keep)
{
	struct manifest m = {
		.magic = MANIFEST_MAGIC, .version = HANDOVER_VERSION, .guests = (uint32_t)h->n};
	int fd = -1;
	bool good;

	keep_open(h->base, keep);
	for (size_t i = 0; i < h->n; i++)
		keep_open(h->guest[i].fd, keep);
	if (!keep)
		return -1;
	fd = memfd_create("userfault-manifest", 0);
	if (fd < 0)
		return -errno;
	memcpy(m.extra, extra, sizeof(m.extra));
	memcpy(m.base, h->base, sizeof(m.base));
	good = write_all(fd, &m, sizeof(m));
	for (size_t i = 0; i < h->n && good; i++) {
		struct manifest_guest g = {.number = h->guest[i].number};

		memcpy(g.fd, h->guest[i].fd, sizeof(g.fd));
		good = write_all(fd, &g, sizeof(g));
	}
	if (good)
		return fd;
	close(fd);
	return -ENOSPC;
}

/* Only what is open is believed. */
static void check_open(int fd[HELD_FDS])
{
	for (int i = 0; i < HELD_FDS; i++)
		if (fd[i] < 0 || fcntl(fd[i], F_SETFD, FD_CLOEXEC) != 0)
			fd[i] = -1;
}

int manifest_read(int fd, struct held *h, int64_t extra[MANIFEST_EXTRA])
{
	struct manifest_guest g;
	struct manifest m;
	int error = 0;

	if (pread(fd, &m, sizeof(m), 0) != sizeof(m) || m.magic != MANIFEST_MAGIC ||
	    m.version != HANDOVER_VERSION)
		return -EPROTO;
	memcpy(extra, m.extra, sizeof(m.extra));
	memcpy(h->base, m.base, sizeof(h->base));
	check_open(h->base);
	for (uint32_t i = 0; i < m.guests && !error; i++) {
		off_t at = (off_t)(sizeof(m) + i * sizeof(g));

		if (pread(fd, &g, sizeof(g), at) != sizeof(g))
			return -EPROTO;
		check_open(g.fd);
		error = held_put(h, g.number, g.fd);
	}
	close(fd);
	return error;
}
