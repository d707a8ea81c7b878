/* SPDX-License-Identifier: MIT */
/*
 * Without a descriptor: pages are filled and moved anywhere, registered or not, never over one that
 * is there; enough to serve faults in a SIGBUS handler.
 */
#include "lib.h"

#include <linux/magic.h>
#include <sys/vfs.h>

static char contents[4 * PG] __attribute__((aligned(4096)));

static void fill_contents(int seed)
{
	for (size_t i = 0; i < sizeof(contents); i++)
		contents[i] = (char)(seed + i * 7 + i / PG);
}

static void *map_shared(size_t pages)
{
	char *p = mmap(NULL, pages * PG, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

/* Memory that nobody ever registered. */
static void plain(void)
{
	volatile char *p = map(8);
	char *unmapped = map(4);
	int fds[2];

	p[3 * PG] = 5;
	fill_contents(1);
	EQ(uf_mcopy_atomic((void *)p, contents + 1, PG), PG);
	EQ(memcmp((void *)p, contents + 1, PG), 0);
	EQ(uf_mcopy_atomic((void *)p, contents, PG), -EEXIST);
	EQ(memcmp((void *)p, contents + 1, PG), 0);
	/* As far as a page that is there, not over it. */
	EQ(uf_mcopy_atomic((void *)(p + PG), contents, 3 * PG), 2 * PG);
	EQ(memcmp((void *)(p + PG), contents, 2 * PG), 0);
	EQ(p[3 * PG], 5);
	EQ(p[3 * PG + 1], 0);
	EQ(uf_mcopy_atomic((void *)(p + 3 * PG), contents, PG), -EEXIST);
	EQ(uf_mcopy_atomic((void *)(p + 4 * PG), contents, PG), PG);
	/* Beside it is ordinary memory, which a system call can use untouched. */
	EQ(p[5 * PG], 0);
	p[5 * PG] = 6;
	EQ(p[5 * PG], 6);
	EQ(pipe(fds), 0);
	EQ(write(fds[1], "x", 1), 1);
	EQ(read(fds[0], (void *)(p + 7 * PG), 1), 1);
	EQ(p[7 * PG], 'x');
	close(fds[0]);
	close(fds[1]);
	/* What is managed and what is not, in one call. */
	EQ(uf_munmap((void *)(p + 4 * PG), 2 * PG), 0);
	EQ(uf_mmap((void *)(p + 4 * PG), 2 * PG, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, NULL) == p + 4 * PG,
	   true);
	EQ(uf_mcopy_atomic((void *)(p + 4 * PG), contents, PG), PG);
	EQ(uf_madvise((void *)(p + 4 * PG), PG, MADV_DONTNEED), 0);
	EQ(uf_mcopy_atomic((void *)(p + 4 * PG), contents, 2 * PG), 2 * PG);
	EQ(memcmp((void *)(p + 4 * PG), contents, 2 * PG), 0);

	EQ(uf_mcopy_atomic((void *)(p + 6 * PG), contents, 0), -EINVAL);
	EQ(uf_mcopy_atomic((void *)(p + 6 * PG), contents, PG + 1), -EINVAL);
	EQ(uf_mcopy_atomic((void *)(p + 6 * PG + 1), contents, PG), -EINVAL);
	EQ(uf_mcopy_atomic((void *)(p + 6 * PG), (void *)8, PG), -EFAULT);
	EQ(uf_mcopy_atomic((void *)(p + 6 * PG), (void *)-PG, PG), -EFAULT);
	EQ(uf_munmap(unmapped, 4 * PG), 0);
	EQ(uf_mcopy_atomic(unmapped, contents, PG), -ENOENT);
	EQ(uf_munmap((void *)p, 8 * PG), 0);
}

/* ---- A handler of SIGBUS ---- */

static volatile unsigned bus_calls;
static char *bus_area;

static void on_bus(int sig, siginfo_t *info, void *context)
{
	char page[PG], *at = (char *)((uintptr_t)info->si_addr & -PG);
	ssize_t done;

	(void)context;
	EQ(sig, SIGBUS);
	EQ(info->si_code, BUS_ADRERR);
	memset(page, (int)((at - bus_area) / PG) + 1, PG);
	__atomic_fetch_add(&bus_calls, 1, __ATOMIC_SEQ_CST);
	done = uf_mcopy_atomic(at, page, PG);
	CHECK(done == PG || done == -EEXIST);
}

static void *bus_toucher(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	for (int i = 0; i < 2000; i++) {
		unsigned page = (seed = seed * 1103515245 + 12345) / 65536 % 256;

		EQ(((volatile char *)bus_area)[page * PG + seed % PG], (char)(page + 1));
	}
	return NULL;
}

static void sigbus(void)
{
	struct sigaction act = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO}, old;
	struct uf_api api = {.api = UF_API, .features = UF_FEATURE_SIGBUS};
	struct uf_register reg = {.mode = UF_REGISTER_MODE_MISSING};
	pthread_t thread[4];
	int fd = uf_open(O_CLOEXEC | UF_USER_MODE_ONLY);

	CHECK(fd >= 0);
	bus_area = map(256);
	reg.range = (struct uf_range){(uintptr_t)bus_area, 256 * PG};
	EQ(uf_ioctl(fd, UF_IO_API, &api), 0);
	EQ(uf_ioctl(fd, UF_IO_REGISTER, &reg), 0);
	EQ(sigaction(SIGBUS, &act, &old), 0);
	EQ(((volatile char *)bus_area)[3 * PG + 17], 4);
	EQ(bus_calls, 1);
	((volatile char *)bus_area)[4 * PG + 1] = 99;
	EQ(bus_calls, 2);
	EQ(bus_area[4 * PG], 5);
	bus_area[4 * PG + 1] = 5;
	for (uintptr_t i = 0; i < 4; i++)
		EQ(pthread_create(&thread[i], NULL, bus_toucher, (void *)(i + 1)), 0);
	for (int i = 0; i < 4; i++)
		EQ(pthread_join(thread[i], NULL), 0);
	CHECK(bus_calls > 200);
	EQ(sigaction(SIGBUS, &old, NULL), 0);
	EQ(uf_close(fd), 0);
	EQ(uf_munmap(bus_area, 256 * PG), 0);
}

/* ---- Beside handlers and readers ---- */

static volatile unsigned calls;

static int no_fill(const struct uf_fault *fault, void *arg)
{
	(void)fault;
	(void)arg;
	calls++;
	return -EIO;
}

static int fill_sevens(const struct uf_fault *fault, void *arg)
{
	char page[PG];

	EQ(fault->size, PG);
	memset(page, 7, PG);
	calls++;
	return uf_fill_copy(*(struct uf_handler **)arg, (void *)fault->page, page, PG) == PG ? 0
											     : -EIO;
}

static void handled(void)
{
	struct uf_handler *dst, *src;
	volatile char *d = map(2), *s = map(2);

	calls = 0;
	EQ(uf_handle((void *)d, 2 * PG, UF_REGISTER_MODE_MISSING, no_fill, NULL, &dst), 0);
	EQ(uf_handle((void *)s, 2 * PG, UF_REGISTER_MODE_MISSING, fill_sevens, &src, &src), 0);
	EQ(uf_mcopy_atomic((void *)d, contents, PG), PG);
	EQ(d[1], contents[1]);
	EQ(calls, 0);
	/* The source is absent itself: it is asked for, the destination is not. */
	EQ(uf_mcopy_atomic((void *)(d + PG), (void *)s, PG), PG);
	EQ(calls, 1);
	EQ(d[PG + 5], 7);
	EQ(uf_unhandle(dst), 0);
	EQ(uf_unhandle(src), 0);
	EQ(uf_munmap((void *)d, 2 * PG), 0);
	EQ(uf_munmap((void *)s, 2 * PG), 0);
}

static void *toucher(void *arg)
{
	return (void *)(intptr_t) * (volatile char *)arg;
}

/* A thread that waits for a reader goes on. */
static void wakes(void (*fill)(char *at), bool shared)
{
	struct uf_api api = {.api = UF_API};
	struct uf_register reg = {.mode = UF_REGISTER_MODE_MISSING};
	int fd = uf_open(O_CLOEXEC | O_NONBLOCK);
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	char *p = shared ? map_shared(4) : map(4);
	pthread_t thread;
	void *seen;

	CHECK(fd >= 0);
	reg.range = (struct uf_range){(uintptr_t)p, 4 * PG};
	EQ(uf_ioctl(fd, UF_IO_API, &api), 0);
	EQ(uf_ioctl(fd, UF_IO_REGISTER, &reg), 0);
	EQ(pthread_create(&thread, NULL, toucher, p + PG), 0);
	EQ(poll(&ready, 1, -1), 1);
	fill(p + PG);
	EQ(pthread_join(thread, &seen), 0);
	EQ((intptr_t)seen, contents[PG]);
	EQ(uf_close(fd), 0);
	EQ(uf_munmap(p, 4 * PG), 0);
}

static void fill_by_copy(char *at)
{
	EQ(uf_mcopy_atomic(at, contents + PG, PG), PG);
}

static void fill_by_move(char *at)
{
	char *from = map(1);

	memcpy(from, contents + PG, PG);
	EQ(uf_remap_pages(at, from, PG), PG);
	EQ(uf_munmap(from, PG), 0);
}

static void moves(void)
{
	volatile char *src = map(8), *dst = map(8);

	fill_contents(9);
	memcpy((void *)src, contents, 4 * PG);
	EQ(uf_remap_pages((void *)dst, (void *)src, 2 * PG), 2 * PG);
	EQ(memcmp((void *)dst, contents, 2 * PG), 0);
	EQ(src[0], 0);
	EQ(src[PG], 0);
	EQ(memcmp((void *)(src + 2 * PG), contents + 2 * PG, 2 * PG), 0);
	/* Never over a page, never a page that is not there. */
	EQ(uf_remap_pages((void *)(dst + PG), (void *)(src + 2 * PG), PG), -EEXIST);
	EQ(memcmp((void *)(dst + PG), contents + PG, PG), 0);
	EQ(uf_remap_pages((void *)(dst + 4 * PG), (void *)(src + 6 * PG), PG), -ENOENT);
	EQ(uf_remap_pages((void *)(dst + 2 * PG), (void *)(src + 2 * PG), 3 * PG), 2 * PG);
	EQ(memcmp((void *)dst, contents, 4 * PG), 0);
	EQ(uf_remap_pages((void *)(dst + 1), (void *)src, PG), -EINVAL);
	EQ(uf_remap_pages((void *)dst, (void *)(src + 1), PG), -EINVAL);
	EQ(uf_remap_pages((void *)dst, (void *)src, 0), -EINVAL);
	EQ(uf_munmap((void *)src, 8 * PG), 0);
	EQ(uf_remap_pages((void *)(dst + 6 * PG), (void *)src, PG), -ENOENT);
	EQ(uf_munmap((void *)dst, 8 * PG), 0);
}

#define ROUNDS 3000

static volatile char *race_src;
static atomic_int race_page = -1;

static void *race_writer(void *arg)
{
	(void)arg;
	for (int next = 0; next < ROUNDS; next++) {
		while (atomic_load(&race_page) < next)
			sched_yield();
		race_src[(size_t)next * PG] = 1;
	}
	return NULL;
}

/* What another thread writes meanwhile is in the one place or in the other. */
static void races(void)
{
	char *dst = map(ROUNDS);
	struct uf_handler *h;
	pthread_t thread;

	race_src = map(ROUNDS);
	for (size_t i = 0; i < ROUNDS; i++)
		race_src[i * PG + 1] = 2;
	EQ(uf_handle(dst, ROUNDS * PG, UF_REGISTER_MODE_MISSING, no_fill, NULL, &h), 0);
	EQ(pthread_create(&thread, NULL, race_writer, NULL), 0);
	for (int i = 0; i < ROUNDS; i++) {
		atomic_store(&race_page, i);
		EQ(uf_remap_pages(dst + (size_t)i * PG, (void *)(race_src + (size_t)i * PG), PG),
		   PG);
	}
	EQ(pthread_join(thread, NULL), 0);
	for (size_t i = 0; i < ROUNDS; i++) {
		CHECK(dst[i * PG] == 1 || race_src[i * PG] == 1);
		EQ(dst[i * PG + 1], 2);
		EQ(race_src[i * PG + 1], 0);
	}
	EQ(uf_unhandle(h), 0);
	EQ(uf_munmap(dst, ROUNDS * PG), 0);
	EQ(uf_munmap((void *)race_src, ROUNDS * PG), 0);
}

/* Between types only when the program says so. */
static void configured(void)
{
	char *src = map_shared(2), *dst = map(2);

	EQ(uf_configure(64), -EINVAL);
	memset(src, 3, 2 * PG);
	EQ(uf_remap_pages(dst, src, PG), -EINVAL);
	EQ(uf_configure(UF_MOVE_ANY), 0);
	EQ(uf_remap_pages(dst, src, PG), PG);
	EQ(dst[100], 3);
	EQ(src[100], 0);
	EQ(src[PG], 3);
	EQ(uf_configure(0), 0);
	EQ(uf_remap_pages(dst + PG, src + PG, PG), -EINVAL);
	EQ(uf_munmap(src, 2 * PG), 0);
	EQ(uf_munmap(dst, 2 * PG), 0);
}

static const void *give_contents(const struct uf_fault *fault, void *arg)
{
	(void)fault;
	calls++;
	return arg;
}

/* A file of the file system here: its data is there, its hole is missing. */
static void files(void)
{
	char path[] = "lib-direct.XXXXXX", back[PG];
	int fd = mkstemp(path);
	struct uf_handler *h;
	struct statfs fs;
	volatile char *p;

	CHECK(fd >= 0);
	EQ(unlink(path), 0);
	EQ(fstatfs(fd, &fs), 0);
	EQ(ftruncate(fd, 64 * PG), 0);
	EQ(pwrite(fd, contents + PG, PG, 0), PG);
	p = uf_mmap(NULL, 64 * PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0, NULL);
	CHECK(p != MAP_FAILED);
	if (fs.f_type != TMPFS_MAGIC)
		EQ(uf_handle_pages((void *)p, 64 * PG, UF_REGISTER_MODE_MISSING, give_contents,
				   contents, &h),
		   -EINVAL);
	EQ(uf_configure(UF_FILE_FAULTS), 0);
	calls = 0;
	EQ(uf_handle_pages((void *)p, 64 * PG, UF_REGISTER_MODE_MISSING, give_contents, contents,
			   &h),
	   0);
	EQ(p[3], contents[PG + 3]);
	EQ(calls, 0);
	EQ(p[32 * PG + 3], contents[3]);
	EQ(calls, 1);
	EQ(pread(fd, back, PG, 32 * PG), PG);
	EQ(memcmp(back, contents, PG), 0);
	EQ(uf_unhandle(h), 0);
	EQ(uf_munmap((void *)p, 64 * PG), 0);
	EQ(uf_configure(0), 0);
	close(fd);
}

int main(void)
{
	start();
	plain();
	sigbus();
	handled();
	wakes(fill_by_copy, false);
	wakes(fill_by_copy, true);
	wakes(fill_by_move, false);
	moves();
	races();
	configured();
	files();
	return 0;
}
