/*
 * fd.c - descriptors of our own, kept high and close-on-exec so that the program's numbering is
 * what it would be without us.
 */
#include "machine/host/internal.h"

#define FLOOR_MAX  16384
#define FLOOR_ROOM 256
#define OWNED_MAX  (2 * FLOOR_MAX)

static _Atomic uint64_t owned[OWNED_MAX / 64];
static _Atomic uint64_t kept[OWNED_MAX / 64]; /* by a forked child */

int host_fd_floor(void)
{
	struct rlimit lim;

	if (sys_rlimit(RLIMIT_NOFILE, NULL, &lim) != 0 || lim.rlim_cur > FLOOR_MAX + FLOOR_ROOM)
		return FLOOR_MAX;
	if (lim.rlim_cur >= 2 * FLOOR_ROOM)
		return (int)lim.rlim_cur - FLOOR_ROOM;
	return (int)lim.rlim_cur / 2;
}

bool host_owns_fd(int fd)
{
	return fd >= 0 && fd < OWNED_MAX && (owned[fd / 64] >> (fd % 64) & 1);
}

int host_hide_dup(int fd)
{
	int floor = host_fd_floor(), high = -EMFILE;

	for (; high < 0; floor /= 2) {
		high = sys_fcntl(fd, F_DUPFD_CLOEXEC, floor);
		if (floor <= 3 || (high < 0 && high != -EMFILE && high != -EINVAL))
			break;
	}
	if (high >= OWNED_MAX) {
		sys_close(high);
		return -EMFILE;
	}
	if (high >= 0)
		atomic_fetch_or(&owned[high / 64], 1ull << (high % 64));
	return high;
}

int host_hide_fd(int fd)
{
	int high;

	if (fd < 0)
		return fd;
	high = host_hide_dup(fd);
	sys_close(fd);
	return high;
}

void host_close_hidden(int fd)
{
	if (!host_owns_fd(fd))
		return;
	atomic_fetch_and(&owned[fd / 64], ~(1ull << (fd % 64)));
	atomic_fetch_and(&kept[fd / 64], ~(1ull << (fd % 64)));
	sys_close(fd);
}

void host_keep_hidden(int fd)
{
	if (host_owns_fd(fd))
		atomic_fetch_or(&kept[fd / 64], 1ull << (fd % 64));
}

void host_close_unkept(void)
{
	for (int i = 0; i < OWNED_MAX / 64; i++) {
		while ((owned[i] & ~kept[i]) != 0)
			host_close_hidden(i * 64 + __builtin_ctzll(owned[i] & ~kept[i]));
	}
}

long host_read_file(const char *path, char *buf, size_t size)
{
	int fd = sys_open(path, O_RDONLY | O_CLOEXEC);
	size_t have = 0;
	long got = 0;

	if (fd < 0)
		return fd;
	while (have < size - 1 && (got = sys_read(fd, buf + have, size - 1 - have)) > 0)
		have += (size_t)got;
	sys_close(fd);
	if (got < 0)
		return got;
	buf[have] = 0;
	return (long)have;
}

bool host_begins(const char *s, const char *with)
{
	while (*with && *s == *with) {
		s++;
		with++;
	}
	return *with == 0;
}

uint64_t host_parse_number(const char **p)
{
	uint64_t value = 0;

	for (; **p >= '0' && **p <= '9'; ++*p)
		value = value * 10 + (uint64_t)(**p - '0');
	return value;
}

void host_put_number(char *buf, size_t *at, uint64_t value)
{
	char digits[20];
	unsigned n = 0;

	do {
		digits[n++] = (char)('0' + value % 10);
		value /= 10;
	} while (value != 0);
	while (n > 0)
		buf[(*at)++] = digits[--n];
}

void host_put_hex(char *buf, size_t *at, uint64_t value)
{
	char digits[16];
	unsigned n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % 16];
		value /= 16;
	} while (value != 0);
	while (n > 0)
		buf[(*at)++] = digits[--n];
}
