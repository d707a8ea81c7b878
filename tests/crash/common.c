/* SPDX-License-Identifier: MIT */
/* common.c - userfaultfd calls, time, numbers, what went wrong. */
#include "crash.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>

void broken(const char *what, long a, long b)
{
	char text[256];
	int len = snprintf(text, sizeof(text), "crash: process %d: %s (%ld, %ld)\n", (int)getpid(),
			   what, a, b);

	if (write(STDERR_FILENO, text, (size_t)len) != len)
		len = 0;
	if (crew)
		atomic_store(&crew->failed, true);
	_exit(1);
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t any(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*state = x;
	return x * 0x2545f4914f6cdd1dull >> 11;
}

/* ---- What is left ---- */

#define SLACK	  (1l << 20) /* KiB of shared memory that others may have made meanwhile */
#define SETTLE_NS 10000000000ull

/* Shared memory of the whole machine, in KiB. */
static long shared_memory(void)
{
	FILE *file = fopen("/proc/meminfo", "r");
	char line[128];
	long value = -1;

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Shmem: %ld", &value) == 1)
			break;
	}
	if (file)
		fclose(file);
	return value;
}

static int open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	MUST(dir != NULL);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

void leftovers_note(struct leftovers *l)
{
	l->shared = shared_memory();
	l->descriptors = open_descriptors();
}

void leftovers_check(const struct leftovers *before)
{
	uint64_t begin = now_ns();
	struct leftovers now;

	/* The kernel gives memory back a little after the last who had it. */
	do
		leftovers_note(&now);
	while (now.shared > before->shared + SLACK && now_ns() - begin < SETTLE_NS &&
	       sched_yield() == 0);
	if (now.shared > before->shared + SLACK)
		broken("shared memory is left, in KiB", now.shared - before->shared, 0);
	if (now.descriptors != before->descriptors)
		broken("other descriptors are open than before", now.descriptors,
		       before->descriptors);
}

/* ---- userfaultfd ---- */

int uffd_make(uint64_t features)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -1;
	if (ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		return -1;
	}
	return fd;
}

int uffd_register(int fd, uint64_t start, uint64_t len)
{
	struct uffdio_register r = {
		.range = {start, len},
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
	};

	return ioctl(fd, UFFDIO_REGISTER, &r) ? errno : 0;
}

int uffd_unregister(int fd, uint64_t start, uint64_t len)
{
	struct uffdio_range range = {start, len};

	return ioctl(fd, UFFDIO_UNREGISTER, &range) ? errno : 0;
}

int uffd_protect(int fd, uint64_t start, uint64_t len, bool on)
{
	struct uffdio_writeprotect w = {
		.range = {start, len},
		.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	return ioctl(fd, UFFDIO_WRITEPROTECT, &w) ? errno : 0;
}

int uffd_wake(int fd, uint64_t start, uint64_t len)
{
	struct uffdio_range range = {start, len};

	return ioctl(fd, UFFDIO_WAKE, &range) ? errno : 0;
}

int uffd_copy(int fd, uint64_t page, const void *src, uint64_t mode)
{
	struct uffdio_copy c = {
		.dst = page,
		.src = (uint64_t)(uintptr_t)src,
		.len = PAGE,
		.mode = mode,
	};

	return ioctl(fd, UFFDIO_COPY, &c) ? errno : 0;
}
