/* SPDX-License-Identifier: MIT */
/*
 * Missing and write-protected pages, served by a thread that makes every system call by itself,
 * while others touch them, from the program and from system calls.
 */
#include "any.h"

#include <sys/wait.h>

#define PAGES	 256
#define TOUCHERS 4

struct service {
	struct thread thread;
	int fd;
	char *base;
	char *page;
	_Atomic long missing, protected;
};

static long raw_ioctl(int fd, unsigned long cmd, void *arg)
{
	return RAW(SYS_ioctl, fd, cmd, arg);
}

static int contents(size_t n)
{
	return (int)(n % 120) + 1;
}

static void serve(struct service *s, const struct uffd_msg *m)
{
	uint64_t start = m->pagefault.address & ~(PG - 1);
	struct uffdio_copy c = {.dst = start, .src = (uintptr_t)s->page, .len = PG};
	struct uffdio_writeprotect w = {.range = {start, PG}};
	long err;

	EQ(m->event, UFFD_EVENT_PAGEFAULT);
	if (m->pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) {
		s->protected ++;
		EQ(raw_ioctl(s->fd, UFFDIO_WRITEPROTECT, &w), 0);
		return;
	}
	memset(s->page, contents((start - (uintptr_t)s->base) / PG), PG);
	s->missing++;
	err = raw_ioctl(s->fd, UFFDIO_COPY, &c);
	CHECK(err == 0 || err == -EEXIST);
	if (err)
		s->missing--;
}

/* All messages are served, also those of faults that others have had on the same page. */
static void settle(struct service *s)
{
	struct pollfd p = {.fd = s->fd, .events = POLLIN};

	do
		wait_asleep(&s->thread);
	while (poll(&p, 1, 0) != 0);
}

static void *service(void *arg)
{
	struct service *s = arg;
	struct uffd_msg m[4];
	long n;

	for (;;) {
		struct pollfd p = {.fd = s->fd, .events = POLLIN};

		EQ(RAW(SYS_poll, &p, 1, -1), 1);
		n = RAW(SYS_read, s->fd, m, sizeof(m));
		if (n == -EAGAIN)
			continue;
		CHECK(n > 0);
		for (long i = 0; i < n / (long)sizeof(m[0]); i++)
			serve(s, &m[i]);
	}
	return NULL;
}

struct toucher {
	struct thread thread;
	char *base;
	int first;
};

static void *touch(void *arg)
{
	struct toucher *t = arg;

	for (size_t i = 0; i < PAGES; i++) {
		size_t n = (i * 7 + (size_t)t->first * 61) % PAGES;

		EQ(*at_address((uintptr_t)t->base + n * PG + 8 * (size_t)t->first), contents(n));
	}
	return NULL;
}

static void all_touched(struct service *s)
{
	struct toucher t[TOUCHERS];

	for (int i = 0; i < TOUCHERS; i++) {
		t[i] = (struct toucher){.base = s->base, .first = i};
		run(&t[i].thread, touch, &t[i]);
	}
	for (int i = 0; i < TOUCHERS; i++)
		join(&t[i].thread);
	settle(s);
	EQ(s->missing, PAGES);
}

/* A file is read into pages that are not there, by either kind of call. */
static void read_into(struct service *s, bool by_libc)
{
	int file = (int)syscall(SYS_memfd_create, "any", 0);
	char text[2 * PG];

	memset(text, 'r', sizeof(text));
	EQ(write(file, text, sizeof(text)), sizeof(text));
	settle(s);
	EQ(madvise(s->base, PAGES * PG, MADV_DONTNEED), 0);
	s->missing = 0;
	EQ(by_libc ? pread(file, s->base + 100, PG + 500, 0)
		   : RAW(SYS_pread64, file, s->base + 100, PG + 500, 0),
	   PG + 500);
	CHECK(all(s->base + 100, PG + 500, 'r'));
	EQ(s->base[0], contents(0));
	settle(s);
	EQ(s->missing, 2);
	close(file);
}

static void protected_pages(struct service *s)
{
	EQ(protect(s->fd, s->base, PAGES * PG, UFFDIO_WRITEPROTECT_MODE_WP), 0);
	s->protected = 0;
	for (size_t n = 0; n < 2; n++)
		s->base[n * PG] = 99;
	settle(s);
	EQ(s->protected, 2);
}

/* By raw calls, also where the program has changed what it has mapped. */
static void mapped_over(struct service *s)
{
	char *middle = s->base + 10 * PG;

	EQ(RAW(SYS_munmap, middle, 2 * PG), 0);
	EQ(RAW(SYS_mmap, middle, 2 * PG, PROT_READ | PROT_WRITE,
	       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
	   middle);
	s->missing = 0;
	EQ(*at_address((uintptr_t)middle), 0);
	EQ(*at_address((uintptr_t)middle + 2 * PG), contents(12));
	settle(s);
	EQ(s->missing, 1);
}

int main(void)
{
	struct service s = {.fd = uffd_open_full(UFFD_FEATURE_PAGEFAULT_FLAG_WP)};

	start();
	s.base = map(PAGES);
	s.page = page_of(0);
	EQ(reg(s.fd, s.base, PAGES * PG, MISSING | WP), 0);
	run(&s.thread, service, &s);
	all_touched(&s);
	read_into(&s, false);
	read_into(&s, true);
	protected_pages(&s);
	mapped_over(&s);
	return 0;
}
