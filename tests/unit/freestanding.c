/*
 * freestanding.c - the core without a C library: this program supplies memcpy and its kin and is
 * linked with nothing else. That it links says that the core needs no more; that it runs, that
 * nothing in it relied on a start-up that did not happen.
 */
#include "machine/host/internal.h"
#include "uffd/uffd.h"

#include <sys/wait.h>

#define PAGES 64

void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
	char *d = dst;
	const char *s = src;

	while (n-- > 0)
		*(volatile char *)d++ = *s++;
	return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
	char *d = dst;
	const char *s = src;

	if (d <= s)
		return memcpy(dst, src, n);
	while (n-- > 0)
		((volatile char *)d)[n] = s[n];
	return dst;
}

void *memset(void *dst, int c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((volatile char *)dst)[i] = (char)c;
	return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;

	for (size_t i = 0; i < n; i++) {
		if (x[i] != y[i])
			return x[i] - y[i];
	}
	return 0;
}

static char contents[UF_PAGE_SIZE];

static int fill(const struct mm_fault *fault, void *arg)
{
	struct mach_entry e;
	struct mm_fill f = {.source = MM_SOURCE_COPY,
			    .dst = fault->page,
			    .len = UF_PAGE_SIZE,
			    .src = (uint64_t)arg};
	uint64_t done;
	int err;

	contents[0] = (char)(fault->page >> UF_PAGE_SHIFT);
	mach_enter(&e);
	err = mm_fill(mm_space_self, &f, NULL, 0, &done);
	mach_leave(&e);
	return err;
}

/* A callback fills what is touched: 0, or where it went wrong. */
static int scenario(void)
{
	struct host_config config = {.trap = HOST_TRAP_AUTO};
	struct mach_entry e;
	uint64_t ops;
	uf_ref ctx;
	const char *why;
	volatile char *p;
	long at;
	int fd, err;

	if (host_init(&config, &why) != 0 || mm_space_init(NULL) != 0)
		return 1;
	uffd_init(NULL);
	if (uffd_create(mm_space_self, O_CLOEXEC, 1ull << 48, &ctx, &fd) != 0 ||
	    uffd_set_callback(ctx, fill, contents) != 0)
		return 2;
	at = sys_mmap(0, PAGES * UF_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	if (sys_failed(at) || host_arm() != 0)
		return 3;
	mach_enter(&e);
	err = mm_register(mm_space_self, ctx, (uint64_t)at, PAGES * UF_PAGE_SIZE, MM_MODE_MISSING,
			  &ops);
	mach_leave(&e);
	if (err != 0)
		return 4;
	p = (volatile char *)at;
	for (uint64_t i = 0; i < PAGES; i++) {
		uint64_t page = (uint64_t)at / UF_PAGE_SIZE + i * 37 % PAGES;

		if (p[i * 37 % PAGES * UF_PAGE_SIZE] != (char)page)
			return 5;
	}
	return 0;
}

__attribute__((used, noreturn)) void begin(void);

void begin(void)
{
	sys1(SYS_exit_group, scenario());
	__builtin_unreachable();
}

__asm__(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	and $-16, %rsp\n"
	"	call begin\n");
