/*
 * notify.c - the descriptor a reader polls: an epoll instance over an eventfd used as a level.
 *
 * The eventfd is ours alone: up is the highest count, down is none. The program's descriptor is the
 * epoll instance, which is readable while the level is up, wherever it goes, and never writable, as
 * a userfaultfd is. A count is never added to another: it is taken down first. A reader that slept
 * on the eventfd may have taken it down before; neither minds.
 *
 * When the last descriptor is closed, in whatever process, nobody tells us. But its open file
 * description holds a lock on one byte (number: its id) of the inode that all files of this sort
 * share, and the host lets that go with it: asking through the eventfd finds out.
 */
#include "machine/host/internal.h"

#define LEVEL_UP 0xfffffffffffffffeull

/* From here on ids that two descriptors must not have at a time cannot be told from others. */
#define NO_LOCKS(err) ((err) == -EINVAL || (err) == -ENOSYS || (err) == -EOPNOTSUPP)

static int lock_byte(int fd, int cmd, uint64_t id, short type)
{
	struct flock lock = {.l_type = type, .l_start = (off_t)id, .l_len = 1};
	int err = sys_fcntl(fd, cmd, (long)&lock);

	return err < 0 || cmd != F_OFD_GETLK ? err : lock.l_type;
}

static int make_public(int source, int flags, uint64_t id)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = id};
	int pub = sys_epoll_create(flags & O_CLOEXEC ? EPOLL_CLOEXEC : 0), err;

	if (pub < 0)
		return pub;
	err = sys_epoll_add(pub, source, &event);
	if (err == 0 && (flags & O_NONBLOCK))
		err = sys_fcntl(pub, F_SETFL, O_RDWR | O_NONBLOCK);
	if (err < 0) {
		sys_close(pub);
		return err;
	}
	return pub;
}

int mach_notify_create(struct mach_notify *n, int flags, uint64_t id, int *fd)
{
	int source = host_hide_fd(sys_eventfd(0, EFD_CLOEXEC)), pub, err;

	if (source < 0)
		return source;
	pub = make_public(source, flags, id);
	if (pub < 0) {
		host_close_hidden(source);
		return pub;
	}
	err = lock_byte(pub, F_OFD_SETLK, id, F_WRLCK);
	if (err < 0 && !NO_LOCKS(err)) {
		sys_close(pub);
		host_close_hidden(source);
		return err == -EAGAIN || err == -EACCES ? -EEXIST : -ENOMEM;
	}
	n->fd = source;
	n->told = err == 0 && lock_byte(source, F_OFD_GETLK, id, F_WRLCK) == F_WRLCK;
	n->id = id;
	*fd = pub;
	return 0;
}

int mach_notify_held(const struct mach_notify *n)
{
	int type;

	if (n->fd < 0 || !n->told)
		return -EOPNOTSUPP;
	type = lock_byte(n->fd, F_OFD_GETLK, n->id, F_WRLCK);
	return type < 0 ? -EOPNOTSUPP : type != F_UNLCK;
}

static void down(int fd)
{
	uint64_t count;
	struct iovec iov = {&count, sizeof(count)};
	long got = sys_readv_nowait(fd, &iov, 1);

	if (got == -EOPNOTSUPP || got == -ENOSYS || got == -EINVAL) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		if (sys_poll(&p, 1, 0) == 1 && (p.revents & POLLIN))
			sys_read(fd, &count, sizeof(count));
	}
}

/* Counts are small where this is used, and never reach the highest. */
void mach_notify_poke(struct mach_notify *n)
{
	static const uint64_t one = 1;

	if (n->fd >= 0)
		sys_write(n->fd, &one, sizeof(one));
}

void mach_notify_set(struct mach_notify *n, bool level)
{
	static const uint64_t up = LEVEL_UP;

	if (n->fd < 0)
		return;
	down(n->fd);
	if (level)
		sys_write(n->fd, &up, sizeof(up));
}

void mach_notify_destroy(struct mach_notify *n)
{
	host_close_hidden(n->fd);
	n->fd = -1;
}

int mach_hidden_dup(int hidden)
{
	return host_hide_dup(hidden);
}

void mach_hidden_close(int hidden)
{
	host_close_hidden(hidden);
}

/* Always with an end, for the host restarts a sleep that has none behind a signal's handler. */
int mach_bell_wait(_Atomic uint32_t *bell, uint32_t heard, uint64_t timeout_ns)
{
	struct timespec most = {(time_t)(timeout_ns / 1000000000), (long)(timeout_ns % 1000000000)};
	int err = sys_futex_wait(bell, heard, &most);

	return err == -EAGAIN ? 0 : err;
}

void mach_bell_ring(_Atomic uint32_t *bell)
{
	atomic_fetch_add(bell, 1);
	sys_futex(bell, FUTEX_WAKE, INT32_MAX);
}
