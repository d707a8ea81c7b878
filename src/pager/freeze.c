/*
 * freeze.c - write-protection in rounds up to an instant, then copies before writes.
 */
#include "pager/freeze.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "pager/library.h"
#include "userfault/abi.h"
#include "userfault/userfault.h"

enum {
	BASE_PAGE = 4096,
	HUGE_PAGE = 2 << 20,
	PIECE = 16 << 20, /* protected at a time: some 50 us, in which writers wait */
	FEW = 256,	  /* so many pages are protected well within a millisecond */
	ROUNDS = 12,	  /* after which it is done with more than that */
	MESSAGES = 64,
};

struct freeze {
	struct freeze_client client;
	char *addr;
	size_t len, page, pages;
	int uffd, wake;
	bool own;	/* the userfaultfd is Userfault's */
	bool instant;	/* it has been */
	uint8_t *noted; /* before: written since it was protected. After: taken */
	size_t nnoted;
	uint64_t pause_ns;
	int error;
	_Atomic bool stop;
	sem_t ready;
	pthread_t thread;
};

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- the userfaultfd
 */

/*
 * The kernel's, else Userfault's. Without privilege the kernel's is for faults of user space only,
 * unless the device may be opened.
 */
static int open_uffd(struct freeze *f)
{
	int flags = O_CLOEXEC | O_NONBLOCK, device;

	f->uffd = (int)syscall(SYS_userfaultfd, flags);
	if (f->uffd < 0 && errno == EPERM) {
		device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
		if (device >= 0) {
			f->uffd = ioctl(device, UF_IOC_NEW, flags);
			close(device);
		}
		if (f->uffd < 0)
			f->uffd = (int)syscall(SYS_userfaultfd, flags | UF_USER_MODE_ONLY);
	}
	if (f->uffd < 0) {
		f->own = true;
		f->uffd = uf_open(flags);
	}
	return f->uffd < 0 ? f->uffd : 0;
}

static int control(struct freeze *f, unsigned long request, void *arg)
{
	if (f->own)
		return uf_ioctl(f->uffd, request, arg);
	return ioctl(f->uffd, request, arg) < 0 ? -errno : 0;
}

static void close_uffd(struct freeze *f)
{
	if (f->uffd >= 0 && f->own)
		uf_close(f->uffd);
	else if (f->uffd >= 0)
		close(f->uffd);
	f->uffd = -1;
}

static int start_uffd(struct freeze *f, char *why, size_t why_size)
{
	struct uf_api api = {.api = UF_API,
			     .features = UF_FEATURE_PAGEFAULT_FLAG_WP | UF_FEATURE_WP_UNPOPULATED |
					 UF_FEATURE_WP_HUGETLBFS_SHMEM};
	struct uf_register reg = {.range = {(uintptr_t)f->addr, f->len},
				  .mode = UF_REGISTER_MODE_WP};
	int error = open_uffd(f);

	if (error) {
		snprintf(why, why_size, "no userfaultfd can be had: %s", strerror(-error));
		return error;
	}
	if (control(f, UF_IO_API, &api) < 0) {
		snprintf(why, why_size, "userfaultfd cannot protect memory here (Linux 6.4 can)");
		return -ENOSYS;
	}
	error = control(f, UF_IO_REGISTER, &reg);
	if (error) {
		snprintf(why, why_size, "the memory cannot be write-protected: %s",
			 error == -EBUSY ? "another userfaultfd has it" : strerror(-error));
		return error;
	}
	f->page = reg.ioctls >> UF_NR_ZEROPAGE & 1 ? BASE_PAGE : HUGE_PAGE;
	if ((uintptr_t)f->addr % f->page || f->len % f->page) {
		snprintf(why, why_size, "the range does not begin and end with whole pages");
		return -EINVAL;
	}
	return 0;
}

static int protect(struct freeze *f, size_t first, size_t pages, bool on)
{
	struct uf_writeprotect wp = {
		.range = {(uintptr_t)f->addr + first * f->page, pages * f->page},
		.mode = on ? UF_WRITEPROTECT_MODE_WP : 0};

	int error;

	do
		error = control(f, UF_IO_WRITEPROTECT, &wp);
	while (error == -EAGAIN || error == -EINTR);
	return error;
}

/* ---- until the instant
 */

static int note(struct freeze *f, size_t page)
{
	f->nnoted += !f->noted[page];
	f->noted[page] = 1;
	return protect(f, page, 1, false);
}

static int serve(struct freeze *f, size_t page)
{
	return f->instant ? freeze_take(f, page * f->page, f->page) : note(f, page);
}

/* All messages there are. */
static int drain(struct freeze *f)
{
	struct uf_msg msg[MESSAGES];
	ssize_t n;
	int error = 0;

	while (!error) {
		n = f->own ? uf_read(f->uffd, msg, sizeof(msg)) : read(f->uffd, msg, sizeof(msg));
		if (n <= 0)
			break;
		for (size_t i = 0; !error && i < (size_t)n / sizeof(*msg); i++) {
			uint64_t at = msg[i].arg.pagefault.address - (uintptr_t)f->addr;

			if (msg[i].event == UF_EVENT_PAGEFAULT && at < f->len)
				error = serve(f, at / f->page);
		}
	}
	return error;
}

/* Protects the noted pages again, runs of them at once. writers: they may go on meanwhile. */
static int round_of(struct freeze *f, bool writers)
{
	size_t end;
	int error = 0;

	for (size_t i = 0; !error && i < f->pages; i = end) {
		if (!f->noted[i]) {
			const uint8_t *next = memchr(f->noted + i, 1, f->pages - i);

			if (!next)
				break;
			i = (size_t)(next - f->noted);
		}
		for (end = i; end < f->pages && f->noted[end]; end++) {
			f->noted[end] = 0;
			f->nnoted--;
		}
		error = protect(f, i, end - i, true);
		if (!error && writers)
			error = drain(f);
	}
	return error;
}

static int arm(struct freeze *f)
{
	size_t piece = PIECE / f->page;
	uint64_t begin;
	int error = 0;

	for (size_t i = 0; !error && i < f->pages; i += piece) {
		error = protect(f, i, i + piece < f->pages ? piece : f->pages - i, true);
		if (!error)
			error = drain(f);
	}
	for (unsigned i = 0; !error && i < ROUNDS && f->nnoted > FEW; i++)
		error = round_of(f, true);
	begin = now();
	if (!error)
		error = round_of(f, false);
	f->pause_ns = now() - begin;
	f->instant = true;
	return error;
}

/* ---- from then on
 */

bool freeze_taken(const struct freeze *f, uint64_t offset)
{
	return f->noted[offset / f->page];
}

int freeze_take(struct freeze *f, uint64_t offset, size_t len)
{
	size_t i = offset / f->page, last = (offset + len + f->page - 1) / f->page, end;
	int error = 0;

	if (last > f->pages)
		last = f->pages;
	for (; !error && i < last; i = end) {
		end = i + 1;
		if (f->noted[i])
			continue;
		while (end < last && !f->noted[end])
			end++;
		error = f->client.take(f->client.arg, i * f->page, f->addr + i * f->page,
				       (end - i) * f->page);
		if (error)
			break;
		memset(f->noted + i, 1, end - i);
		error = protect(f, i, end - i, false);
	}
	return error;
}

static int wait_for_work(struct freeze *f)
{
	struct pollfd fds[3] = {{.fd = f->uffd, .events = POLLIN},
				{.fd = f->wake, .events = POLLIN},
				{.fd = f->client.fd}};
	uint64_t count;

	if (f->client.fd >= 0)
		fds[2].events = f->client.events(f->client.arg);
	if (poll(fds, 3, -1) < 0 && errno != EINTR)
		return -errno;
	if (fds[1].revents & POLLIN && read(f->wake, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return -errno;
	return 0;
}

static void *freeze_main(void *arg)
{
	struct freeze *f = arg;
	int state;

	f->error = arm(f);
	sem_post(&f->ready);
	while (!f->error && !f->stop) {
		f->error = drain(f);
		if (f->error)
			break;
		state = f->client.work(f->client.arg, f);
		if (state == FREEZE_DONE)
			break;
		f->error = state < 0 ? state : state == 0 ? wait_for_work(f) : 0;
	}
	/* Whatever ended it: nobody waits any more. */
	protect(f, 0, f->pages, false);
	close_uffd(f);
	return NULL;
}

void freeze_free(struct freeze *f)
{
	close_uffd(f);
	if (f->wake >= 0)
		close(f->wake);
	sem_destroy(&f->ready);
	free(f->noted);
	free(f);
}

int freeze_begin(void *addr, size_t len, const struct freeze_client *client, struct freeze **out,
		 uint64_t *pause_ns, char *why, size_t why_size)
{
	struct freeze *f = calloc(1, sizeof(*f));
	int error;

	if (!f) {
		snprintf(why, why_size, "there is no memory left");
		return -ENOMEM;
	}
	*f = (struct freeze){.client = *client, .addr = addr, .len = len, .uffd = -1};
	sem_init(&f->ready, 0, 0);
	f->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = f->wake < 0 ? -errno : 0;
	if (error)
		snprintf(why, why_size, "no descriptor is free");
	else if (!len || (uintptr_t)addr % BASE_PAGE || len % BASE_PAGE) {
		snprintf(why, why_size, "the range does not begin and end with whole pages");
		error = -EINVAL;
	} else
		error = start_uffd(f, why, why_size);
	if (!error) {
		f->pages = len / f->page;
		f->noted = calloc(f->pages, 1);
		error = f->noted ? library_thread(&f->thread, freeze_main, f) : -ENOMEM;
		if (error)
			snprintf(why, why_size, "there is no memory left");
	}
	if (error) {
		freeze_free(f);
		return error;
	}
	while (sem_wait(&f->ready) < 0)
		;
	if (f->error) {
		snprintf(why, why_size, "write-protecting the memory failed: %s",
			 strerror(-f->error));
		return freeze_end(f, true);
	}
	if (pause_ns)
		*pause_ns = f->pause_ns;
	*out = f;
	return 0;
}

void freeze_wake(struct freeze *f)
{
	uint64_t one = 1;

	/* Full means that it will wake anyway. */
	if (write(f->wake, &one, sizeof(one)) < 0 && errno != EAGAIN)
		f->stop = true;
}

int freeze_join(struct freeze *f, bool stop)
{
	if (stop) {
		f->stop = true;
		freeze_wake(f);
	}
	pthread_join(f->thread, NULL);
	return f->error;
}

int freeze_end(struct freeze *f, bool stop)
{
	int error = freeze_join(f, stop);

	freeze_free(f);
	return error;
}
