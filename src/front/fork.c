/*
 * fork.c - fork: before it, in the parent, in the child.
 *
 * Between begin and the end the forking thread holds the address space and takes no signals. Where
 * contexts are told of forks (EVENT_FORK) the child makes their counterparts and sends descriptors
 * of them to the parent, over a pair of sockets made for that. It then waits until the parent says
 * that all events have been read. A parent that is killed before has not forked: the child ends,
 * too.
 */
#include "front/door.h"
#include "front/front.h"
#include "front/huge.h"
#include "front/ledger.h"
#include "front/trace.h"
#include "front/types.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/* How often a child that waits looks whether its parent is there. */
#define PARENT_LOOK_MS 50

static struct {
	struct mach_entry entry;
	bool shares_files;
	int parent, child; /* ends of the pair; -1: nobody is told */
	int process;	   /* the forking process, for the child */
} fork_state = {.parent = -1, .child = -1, .process = -1};

/* This thread, or what became of it in the child. */
static __thread bool forking;

static void make_pair(void)
{
	int pair[2];

	if (!uffd_fork_list() ||
	    SYS(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return;
	fork_state.parent = host_hide_fd(pair[0]);
	fork_state.child = host_hide_fd(pair[1]);
	fork_state.process = host_hide_fd((int)SYS(SYS_pidfd_open, SYS(SYS_getpid), 0));
	host_keep_hidden(fork_state.child);
	host_keep_hidden(fork_state.process);
}

static void close_end(int *fd)
{
	host_close_hidden(*fd);
	*fd = -1;
}

void front_fork_begin(bool shares_files)
{
	struct mach_entry entry;

	if (shares_files)
		ufd_all_leave();
	files_fork();
	if (likely(!atomic_load_explicit(&front_live, memory_order_acquire)) || forking)
		return;
	/* The child will have them all. */
	ufd_leave_all();
	mach_enter(&entry);
	host_fork_shares_files(shares_files);
	mm_fork_begin(mm_space_self);
	fork_state.entry = entry;
	fork_state.shares_files = shares_files;
	forking = true;
	make_pair();
}

/* ---- Descriptors from the child to the parent ---- */

#define FD_ROOM CMSG_SPACE(sizeof(int))

/* One byte, and a descriptor if fd is one. */
static void send_fd(int sock, int fd)
{
	char byte = 0, room[FD_ROOM] __attribute__((aligned(16))) = {0};
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;

	if (fd >= 0) {
		msg.msg_control = room;
		msg.msg_controllen = sizeof(room);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	while (SYS(SYS_sendmsg, sock, &msg, MSG_NOSIGNAL) == -EINTR)
		;
}

/* -1: the message had none, or there is nobody to send one. */
static int receive_fd(int sock)
{
	char byte, room[FD_ROOM] __attribute__((aligned(16)));
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = room,
			     .msg_controllen = sizeof(room)};
	struct cmsghdr *c;
	int fd = -1;
	long n;

	if (sock < 0)
		return -1;
	do
		n = SYS(SYS_recvmsg, sock, &msg, MSG_CMSG_CLOEXEC);
	while (n == -EINTR);
	c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* ---- The parent ---- */

/* What this thread's read has put in the table; as many as a read gives at most at a time. */
#define INSTALLED_MAX 16
static __thread int installed[INSTALLED_MAX];
static __thread unsigned ninstalled;

/* A reader of this process gets its own of `hidden`, which stands in the message. */
int front_fork_install(int hidden, int flags, void *unused)
{
	int fd = (int)SYS(SYS_fcntl, hidden, flags & O_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, 0);

	(void)unused;
	if (fd >= 0 && ninstalled < INSTALLED_MAX)
		installed[ninstalled++] = fd;
	return fd == -EINVAL ? -EMFILE : fd;
}

void front_fork_installed(void)
{
	struct file *f;

	while (ninstalled)
		if (ufd_recognise(installed[--ninstalled], &f) == 0 && f)
			file_put(f);
}

static unsigned length(uf_ref list)
{
	unsigned n = 0;

	for (; list; list = uffd_fork_next(list))
		n++;
	return n;
}

/* One event after the other, in the order of the child's messages. */
static void tell(const uf_ref *ctx, unsigned n, int sock)
{
	unsigned i;
	int fd;

	for (i = 0; i < n; i++) {
		fd = host_hide_fd(receive_fd(sock));
		uffd_fork_event(ctx[i], fd);
		/* Then this process may end at once, and the event has been read all the same. */
		door_await_fetch(fd);
		host_close_hidden(fd);
	}
	if (sock >= 0)
		send_fd(sock, -1);
}

void front_fork_parent(void)
{
	struct mach_entry entry = fork_state.entry;
	unsigned n = likely(!forking) ? 0 : length(uffd_fork_list()), i = 0;
	int sock = fork_state.parent;
	uf_ref list[n + 1], ctx;

	if (likely(!forking))
		return;
	forking = false;
	if (!fork_state.shares_files) {
		close_end(&fork_state.child);
		close_end(&fork_state.process);
	}
	for (ctx = uffd_fork_done(); ctx; ctx = uffd_fork_next(ctx))
		list[i++] = ctx;
	fork_state.parent = fork_state.child = fork_state.process = -1;
	/* From here on others may fork. */
	mm_fork_parent(mm_space_self);
	tell(list, n, sock);
	host_close_hidden(sock);
	mach_leave(&entry);
}

/* ---- The child ---- */

/* What nobody can get a descriptor of is as if it had been closed. */
static void send_children(int sock)
{
	uf_ref ctx, child;

	for (ctx = uffd_fork_list(); ctx; ctx = uffd_fork_next(ctx)) {
		int fd = -1;

		child = uffd_fork_child(ctx);
		if (child && sock >= 0)
			fd = ufd_child(child);
		if (child && fd < 0)
			uffd_close(child);
		if (sock >= 0)
			send_fd(sock, fd);
		if (fd >= 0)
			SYS(SYS_close, fd);
	}
}

/*
 * Until all events have been read. Without a parent there is no fork. That it has ended cannot be
 * told by the socket if the child shares the table of descriptors, nor by the parent's number if it
 * ended before it was asked for.
 */
static void wait_for_parent(int sock, int process, uint32_t parent)
{
	struct pollfd p[2] = {{.fd = sock, .events = POLLIN}, {.fd = process, .events = POLLIN}};
	char byte;
	long n;

	do
		n = SYS(SYS_poll, p, 2, PARENT_LOOK_MS);
	while (n <= 0 && (uint32_t)SYS(SYS_getppid) == parent);
	/* It may have said so and ended since it was last looked for. */
	if (SYS(SYS_recvfrom, sock, &byte, 1, MSG_DONTWAIT, NULL, NULL) <= 0)
		SYS(SYS_exit_group, 0);
}

/* Memory stays managed. What is not told of forks is asked no more. */
void front_fork_child(void)
{
	struct mach_entry entry = fork_state.entry;
	uint32_t parent = (uint32_t)SYS(SYS_getppid);

	if (!forking) {
		front_started_child(false);
		files_child();
		huge_child();
		return;
	}
	forking = false;
	types_child();
	trace_child();
	door_child();
	ledger_child();
	mm_fork_child(mm_space_self, NULL);
	front_started_child(true);
	files_child();
	huge_child();
	fork_state.parent = -1;
	if (uffd_fork_list()) {
		send_children(front_start() == 0 ? fork_state.child : -1);
		door_open();
		if (fork_state.child >= 0)
			wait_for_parent(fork_state.child, fork_state.process, parent);
	}
	close_end(&fork_state.child);
	close_end(&fork_state.process);
	uffd_fork_done();
	mach_leave(&entry);
}
