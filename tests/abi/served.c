/* SPDX-License-Identifier: MIT */
#include "served.h"

#define PAGES 512
#define LOG   4096

static int uffd;
static char *memory, *contents_of; /* what is lent; what its pages will hold */
static size_t used;
static atomic_int count, seen;
static uint64_t flags_of[LOG];

static void *serving(void *arg)
{
	(void)arg;
	for (;;) {
		struct uffd_msg msg = next_msg(uffd);
		EQ(msg.event, UFFD_EVENT_PAGEFAULT);
		char *page = (char *)(uintptr_t)msg.pagefault.address;
		flags_of[count % LOG] = msg.pagefault.flags;
		count++;
		if (msg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP)
			EQ(protect(uffd, page, PG, 0), 0);
		else
			DONE(copy(uffd, page, contents_of + (page - memory), PG, 0), PG);
	}
	return NULL;
}

void serve(void)
{
	static struct thread t;

	start();
	need_features(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	uffd = uffd_open_full(0);
	memory = map(PAGES);
	contents_of = map(PAGES);
	EQ(reg(uffd, memory, PAGES * PG, MISSING | WP), 0);
	run(&t, serving, NULL);
}

static char *place(const void *contents, size_t len, size_t offset)
{
	char *p = memory + used * PG + offset;

	CHECK(used + (offset + len + PG - 1) / PG <= PAGES);
	if (contents)
		memcpy(contents_of + (p - memory), contents, len);
	used += (offset + len + PG - 1) / PG;
	return p;
}

void *lend(const void *contents, size_t len)
{
	return place(contents, len, len < PG - 64 ? 64 : 0);
}

void *lend_over(const void *contents, size_t len)
{
	return place(contents, len, PG - (len > PG ? 64 : (len / 2 + 3) / 4 * 4));
}

void *guard(const void *contents, size_t len)
{
	size_t first = used;
	char *p = lend(contents, len);

	DONE(copy(uffd, memory + first * PG, contents_of + first * PG, (used - first) * PG,
		  UFFDIO_COPY_MODE_WP),
	     (used - first) * PG);
	return p;
}

void guard_again(void *p, size_t len)
{
	char *first = memory + ((char *)p - memory) / PG * PG;

	EQ(protect(uffd, first, ((char *)p + len - first + PG - 1) / PG * PG,
		   UFFDIO_WRITEPROTECT_MODE_WP),
	   0);
}

int asked(void)
{
	int now = count, was = seen;

	seen = now;
	return now - was;
}

uint64_t asked_flags(int n)
{
	CHECK(n < count && n >= count - LOG);
	return flags_of[n % LOG];
}

long sys_call(long nr, long a, long b, long c, long d, long e, long f)
{
	long ret = syscall(nr, a, b, c, d, e, f);

	return ret == -1 ? -errno : ret;
}
