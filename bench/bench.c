/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BATCH 128

void die(const char *format, ...)
{
	int error = errno;
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, ": %s\n", strerror(error));
	exit(1);
}

void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "%s\n", what);
	exit(1);
}

void emit(const char *name, double value, const char *unit)
{
	printf("%s %.3f %s\n", name, value, unit);
	fflush(stdout);
}

size_t number_argument(int argc, char **argv, int index, size_t otherwise)
{
	char *end;
	unsigned long n;

	if (index >= argc)
		return otherwise;
	n = strtoul(argv[index], &end, 10);
	if (*end || !n) {
		fprintf(stderr, "%s: '%s' is not a positive number\n", argv[0], argv[index]);
		exit(2);
	}
	return n;
}

bool pin_to_cpu(int nth)
{
	static cpu_set_t allowed;
	cpu_set_t one;

	/* Asked for once: the answer narrows with the first thread that is bound. */
	if (!CPU_COUNT(&allowed) && sched_getaffinity(0, sizeof(allowed), &allowed))
		die("sched_getaffinity");
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &allowed) || nth--)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (sched_setaffinity(0, sizeof(one), &one))
			die("sched_setaffinity");
		return true;
	}
	return false;
}

void warm_up_memory(size_t len)
{
	volatile uint8_t *p = map_anon(len);

	for (size_t at = 0; at < len; at += PAGE)
		p[at] = 1;
	munmap((void *)p, len);
}

void samples_add(struct samples *s, double value)
{
	if (s->count == s->room) {
		s->room = s->room ? 2 * s->room : 1024;
		s->value = realloc(s->value, s->room * sizeof(*s->value));
		if (!s->value)
			die("samples");
	}
	s->value[s->count++] = value;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double samples_quantile(struct samples *s, double q)
{
	check(s->count > 0, "no samples");
	qsort(s->value, s->count, sizeof(*s->value), compare_doubles);
	return s->value[(size_t)(q * (double)(s->count - 1) + 0.5)];
}

double samples_median(struct samples *s)
{
	return samples_quantile(s, 0.5);
}

void samples_free(struct samples *s)
{
	free(s->value);
	memset(s, 0, sizeof(*s));
}

void timings_add(struct timings *t, const uint64_t *stamp, size_t steps)
{
	size_t batch = steps < BATCH ? steps : BATCH;

	for (size_t i = 0; i < steps; i++)
		samples_add(&t->step, (double)(stamp[i + 1] - stamp[i]));
	for (size_t i = 0; i + batch <= steps; i += batch)
		samples_add(&t->batch, (double)(stamp[i + batch] - stamp[i]) / (double)batch);
}

void timings_emit(struct timings *t, const char *name)
{
	char tail[64];

	emit(name, samples_median(&t->batch), "ns");
	snprintf(tail, sizeof(tail), "%s-p99", name);
	emit(tail, samples_quantile(&t->step, 0.99), "ns");
	samples_free(&t->batch);
	samples_free(&t->step);
}

uint32_t *random_order(size_t count, uint64_t seed)
{
	uint32_t *order = malloc(count * sizeof(*order));

	if (!order)
		die("an order of %zu pages", count);
	for (size_t i = 0; i < count; i++)
		order[i] = (uint32_t)i;
	for (size_t i = count - 1; i > 0; i--) {
		uint32_t swap = order[i];
		size_t j;

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		j = seed % (i + 1);
		order[i] = order[j];
		order[j] = swap;
	}
	return order;
}

int uffd_open(int flags, uint64_t features)
{
	struct uffdio_api api = {.api = UFFD_API_VERSION, .features = features};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | flags);

	/* Nothing here faults inside a system call, so what an ordinary user is granted is enough.
	 */
	if (fd < 0 && errno == EPERM)
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | flags | UFFD_USER_MODE_ONLY);
	if (fd < 0) {
		fprintf(stderr, "userfaultfd: %s\n", strerror(errno));
		exit(errno == EPERM || errno == ENOSYS ? EXIT_SKIP : 1);
	}
	if (ioctl(fd, UFFDIO_API, &api)) {
		fprintf(stderr, "UFFDIO_API: %s\n", strerror(errno));
		exit(errno == EINVAL && features ? EXIT_SKIP : 1);
	}
	return fd;
}

void uffd_register(int fd, void *start, size_t len, uint64_t mode)
{
	struct uffdio_register reg = {.range = {(uintptr_t)start, len}, .mode = mode};

	if (ioctl(fd, UFFDIO_REGISTER, &reg))
		die("UFFDIO_REGISTER");
}

void uffd_unregister(int fd, void *start, size_t len)
{
	struct uffdio_range range = {(uintptr_t)start, len};

	if (ioctl(fd, UFFDIO_UNREGISTER, &range))
		die("UFFDIO_UNREGISTER");
}

void uffd_copy(int fd, void *dst, const void *src, size_t len)
{
	struct uffdio_copy copy = {.dst = (uintptr_t)dst, .src = (uintptr_t)src, .len = len};

	if (ioctl(fd, UFFDIO_COPY, &copy))
		die("UFFDIO_COPY");
}

void uffd_continue(int fd, void *start, size_t len)
{
	struct uffdio_continue cont = {.range = {(uintptr_t)start, len}};

	if (ioctl(fd, UFFDIO_CONTINUE, &cont))
		die("UFFDIO_CONTINUE");
}

void uffd_writeprotect(int fd, void *start, size_t len, uint64_t mode)
{
	struct uffdio_writeprotect wp = {.range = {(uintptr_t)start, len}, .mode = mode};

	if (ioctl(fd, UFFDIO_WRITEPROTECT, &wp))
		die("UFFDIO_WRITEPROTECT");
}

static int sigbus_fd;
static const void *sigbus_page;

static void on_sigbus(int signo, siginfo_t *info, void *context)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)info->si_addr & ~(PAGE - 1),
		.src = (uintptr_t)sigbus_page,
		.len = PAGE,
	};

	(void)signo;
	(void)context;
	if (ioctl(sigbus_fd, UFFDIO_COPY, &copy))
		_exit(1);
}

void fill_on_sigbus(int fd, const void *page)
{
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};

	sigbus_fd = fd;
	sigbus_page = page;
	if (sigaction(SIGBUS, &action, NULL))
		die("sigaction");
}
