/*
 * notify.c - the descriptor a reader polls: an eventfd used as a level.
 *
 * Up is the highest count, so that it is readable and not writable, as a userfaultfd is. A count is
 * never added to another: it is taken down first. Both the program (which may read the descriptor
 * natively) and we may have taken it down before; neither minds. What the program set on the
 * descriptor (blocking or not) makes no difference to us.
 */
#include "machine/host/internal.h"

#define LEVEL_UP 0xfffffffffffffffeull

static uint32_t eventfd_id(int fd)
{
	static const char key[] = "eventfd-id:";
	char path[40] = "/proc/self/fdinfo/", buf[256 + sizeof(key)];
	size_t at = 18;
	const char *p;

	host_put_number(path, &at, (uint64_t)fd);
	path[at] = 0;
	if (host_read_file(path, buf, 256) <= 0)
		return 0;
	for (p = buf; *p; p++) {
		if (memcmp(p, key, sizeof(key) - 1) == 0) {
			p += sizeof(key) - 1;
			while (*p == ' ')
				p++;
			return (uint32_t)host_parse_number(&p);
		}
		while (*p && *p != '\n')
			p++;
		if (!*p)
			break;
	}
	return 0;
}

int mach_notify_create(struct mach_notify *n, int flags, int *fd)
{
	int pub = sys_eventfd(0, flags & (O_CLOEXEC | O_NONBLOCK)), hidden;

	if (pub < 0)
		return pub;
	hidden = host_hide_dup(pub);
	if (hidden < 0) {
		sys_close(pub);
		return hidden;
	}
	n->fd = hidden;
	n->id = eventfd_id(hidden);
	*fd = pub;
	return 0;
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
