/* SPDX-License-Identifier: MIT */
/* A handler returns the page, and the faulting thread maps it. */
#include "lib.h"

#define PAGES 64

static char image[PAGES * PG] __attribute__((aligned(4096)));
static char *area;
static volatile uint64_t last_flags;
static volatile unsigned calls;

static const void *give(const struct uf_fault *fault, void *arg)
{
	size_t n = (fault->page - (uintptr_t)area) / PG;

	CHECK(arg == image);
	EQ(fault->size, PG);
	__atomic_fetch_add(&calls, 1, __ATOMIC_SEQ_CST);
	last_flags = fault->flags;
	if (fault->flags & (UF_PAGEFAULT_FLAG_WP | UF_PAGEFAULT_FLAG_RWP))
		return n == 5 ? UF_PAGE_ZERO : UF_PAGE_KEEP;
	if (n == 1)
		return UF_PAGE_ZERO;
	if (n == 2)
		return UF_PAGE_ERROR;
	if (n == 3)
		return (void *)16; /* nothing is there */
	return image + n * PG;
}

static void one_by_one(void)
{
	struct uf_handler *h;
	volatile char *p = area = map(8);

	EQ(uf_handle_pages(area, 8 * PG, UF_REGISTER_MODE_MISSING, NULL, NULL, &h), -EINVAL);
	EQ(uf_handle_pages(area, 8 * PG, UF_REGISTER_MODE_MISSING | UF_REGISTER_MODE_WP, give,
			   image, &h),
	   0);
	EQ(p[77], image[77]);
	EQ(calls, 1);
	EQ(last_flags, 0);
	EQ(memcmp(area, image, PG), 0);
	EQ(p[PG + 5], 0);
	EQ(try_read(p + 2 * PG), SIGBUS);
	EQ(try_read(p + 3 * PG), SIGBUS);
	EQ(calls, 4);
	p[4 * PG] = 1;
	EQ(last_flags, UF_PAGEFAULT_FLAG_WRITE);
	EQ(p[4 * PG + 1], image[4 * PG + 1]);

	EQ(uf_write_protect(h, area + 4 * PG, PG, 1), 0);
	p[4 * PG] = 2;
	EQ(last_flags, UF_PAGEFAULT_FLAG_WRITE | UF_PAGEFAULT_FLAG_WP);
	EQ(p[4 * PG], 2);
	EQ(calls, 6);
	/* A page to fill is no answer to a protection fault. */
	EQ(p[5 * PG], image[5 * PG]);
	EQ(uf_write_protect(h, area + 5 * PG, PG, 1), 0);
	EQ(sigsetjmp(away, 1) ? SIGBUS : (p[5 * PG] = 3), SIGBUS);
	EQ(p[5 * PG], image[5 * PG]);
	EQ(uf_unhandle(h), 0);
	calls = 0;
	EQ(p[7 * PG], 0);
	EQ(calls, 0);
	EQ(uf_munmap(area, 8 * PG), 0);
}

static void *toucher(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	for (int i = 0; i < 3000; i++) {
		size_t at = (seed = seed * 1103515245 + 12345) / 65536 % (PAGES - 4) + 4;

		EQ(((volatile char *)area)[at * PG + seed % PG], image[at * PG + seed % PG]);
		if (i % 16 == 0)
			EQ(uf_madvise(area + at * PG, PG, MADV_DONTNEED), 0);
	}
	return NULL;
}

static void many_threads(void)
{
	struct uf_handler *h;
	pthread_t thread[4];

	area = map(PAGES);
	EQ(uf_handle_pages(area, PAGES * PG, UF_REGISTER_MODE_MISSING, give, image, &h), 0);
	for (uintptr_t i = 0; i < 4; i++)
		EQ(pthread_create(&thread[i], NULL, toucher, (void *)(i + 1)), 0);
	for (int i = 0; i < 4; i++)
		EQ(pthread_join(thread[i], NULL), 0);
	CHECK(calls >= PAGES - 4);
	EQ(uf_unhandle(h), 0);
	EQ(uf_munmap(area, PAGES * PG), 0);
}

/* Shared memory: the page is there, in the file; the handler lets it be seen. */
static void minor(void)
{
	int fd = memfd_create("pages", MFD_CLOEXEC);
	struct uf_handler *h;
	volatile char *p;

	EQ(ftruncate(fd, 6 * PG), 0);
	EQ(pwrite(fd, image, PG, 5 * PG), PG);
	area = mmap(NULL, 6 * PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(area != MAP_FAILED);
	p = area;
	EQ(uf_handle_pages(area, 6 * PG, UF_REGISTER_MODE_MISSING | UF_REGISTER_MODE_MINOR, give,
			   image, &h),
	   0);
	/* What the file lacks is asked for, and is the file's then. */
	EQ(p[4 * PG + 9], image[4 * PG + 9]);
	EQ(last_flags, 0);
	EQ(uf_unhandle(h), 0);
	EQ(uf_munmap(area, 6 * PG), 0);
	close(fd);
}

static const void *keep(const struct uf_fault *fault, void *arg)
{
	(void)arg;
	last_flags = fault->flags;
	return UF_PAGE_KEEP;
}

static void minor_keep(void)
{
	int fd = memfd_create("pages", MFD_CLOEXEC);
	struct uf_handler *h;
	char *p;

	EQ(ftruncate(fd, 2 * PG), 0);
	EQ(pwrite(fd, image + PG, PG, PG), PG);
	p = mmap(NULL, 2 * PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED);
	EQ(uf_handle_pages(p, 2 * PG, UF_REGISTER_MODE_MISSING | UF_REGISTER_MODE_MINOR, keep, NULL,
			   &h),
	   0);
	EQ(((volatile char *)p)[PG + 3], image[PG + 3]);
	EQ(last_flags, UF_PAGEFAULT_FLAG_MINOR);
	/* Nothing is there to be kept. */
	EQ(try_read(p), SIGBUS);
	EQ(uf_unhandle(h), 0);
	EQ(uf_munmap(p, 2 * PG), 0);
	close(fd);
}

static int go_on(const struct uf_fault *fault, void *arg)
{
	struct uf_handler **h = arg;

	last_flags = fault->flags;
	if (fault->flags & UF_PAGEFAULT_FLAG_MINOR)
		return uf_fill_continue(*h, (void *)fault->page, PG) == PG ? 0 : -EIO;
	EQ(uf_fill_continue(*h, (void *)fault->page, PG), -EFAULT);
	return uf_fill_zero(*h, (void *)fault->page, PG) == PG ? 0 : -EIO;
}

/* The same by a callback that fills itself. */
static void minor_callback(void)
{
	int fd = memfd_create("pages", MFD_CLOEXEC);
	struct uf_handler *h;
	volatile char *p, *anon = map(1);

	EQ(ftruncate(fd, 2 * PG), 0);
	EQ(pwrite(fd, image + PG, PG, PG), PG);
	p = mmap(NULL, 2 * PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED);
	EQ(uf_handle((void *)p, 2 * PG, UF_REGISTER_MODE_MISSING | UF_REGISTER_MODE_MINOR, go_on,
		     &h, &h),
	   0);
	EQ(p[PG + 3], image[PG + 3]);
	EQ(last_flags, UF_PAGEFAULT_FLAG_MINOR);
	EQ(p[3], 0);
	EQ(last_flags, 0);
	EQ(uf_fill_continue(h, (void *)p, PG), -EEXIST);
	EQ(uf_fill_continue(h, (void *)(p + 1), PG), -EINVAL);
	EQ(uf_unhandle(h), 0);
	EQ(uf_munmap((void *)p, 2 * PG), 0);
	close(fd);
	EQ(uf_handle((void *)anon, PG, UF_REGISTER_MODE_MINOR, go_on, &h, &h), -EINVAL);
}

int main(void)
{
	start();
	signal(SIGBUS, jump);
	for (size_t i = 0; i < sizeof(image); i++)
		image[i] = (char)(i * 5 + i / PG + 1);
	one_by_one();
	many_threads();
	minor();
	minor_keep();
	minor_callback();
	return 0;
}
