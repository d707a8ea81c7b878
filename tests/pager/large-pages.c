/*
 * large-pages.c - pages of 2 MiB, put together from chunks; and memory that is filled by way of its
 * file (minor faults), of both sizes.
 */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define LARGE (2ull << 20)
#define N     8
#define POOL  "/proc/sys/vm/nr_hugepages"

static struct rig r;
static int before = -1;

static int pool(int n)
{
	char text[32];
	int fd = open(POOL, O_RDWR | O_CLOEXEC), was = -1;
	ssize_t len;

	if (fd < 0)
		return -1;
	len = read(fd, text, sizeof(text) - 1);
	if (len > 0) {
		text[len] = 0;
		was = atoi(text);
		len = snprintf(text, sizeof(text), "%d", was + n > 0 ? was + n : 0);
		if (n && pwrite(fd, text, (size_t)len, 0) != len)
			was = -1;
	}
	close(fd);
	return was;
}

static void restore(void)
{
	if (before >= 0)
		pool(-3 * N);
}

static void check_all(const char *mem, uint64_t offset, size_t len)
{
	for (size_t at = 0; at < len; at += PAGE)
		CHECK(!fake_check(r.fake, offset + at, mem + at));
}

static void test_large(uint32_t chunk, bool peek, uint64_t offset, bool prefetch)
{
	struct fake *f = fake_new((N + 1) * LARGE, chunk, peek);

	f->zero_from = 3 * LARGE + 5 * PAGE;
	f->zero_to = 5 * LARGE + LARGE / 2;
	if (peek)
		memset(f->memory + f->zero_from, 0, f->zero_to - f->zero_from);
	rig_init(&r, f, N * LARGE);
	r.mem = mmap(NULL, r.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB,
		     -1, 0);
	CHECK(r.mem != MAP_FAILED);
	r.config.no_prefetch = !prefetch;
	r.region[0] = (struct guest_region){
		.addr = (uintptr_t)r.mem, .size = r.len, .offset = offset, .page_size = LARGE};
	r.config.nregions = 1;
	r.features = UF_FEATURE_EVENT_REMOVE;
	rig_begin(&r);
	check_all(r.mem, offset, r.len);
	CHECK(!madvise(r.mem + LARGE, LARGE, MADV_DONTNEED));
	for (size_t i = 0; i < LARGE; i += 512)
		CHECK(r.mem[LARGE + i] == 0);
	rig_until(atomic_load(&guest_shared(r.g)->waiting) == 0);
	CHECK(atomic_load(&guest_shared(r.g)->resident) == N);
	rig_end(&r);
}

/* A page that fails does so as a whole, and the next try has all of it. */
static void test_large_fails(void)
{
	struct fake *f = fake_new(N * LARGE, 65536, false);

	rig_init(&r, f, N * LARGE);
	r.mem = mmap(NULL, r.len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	r.page_size = LARGE;
	atomic_store(&f->error, -EIO);
	atomic_store(&f->fail, 40);
	rig_begin(&r);
	check_all(r.mem, 0, 2 * LARGE);
	rig_end(&r);
}

static void test_minor(unsigned memfd_flags, uint64_t size, bool peek, bool prefetch,
		       uint64_t modes)
{
	struct fake *f = fake_new(N * LARGE + LARGE, 65536, peek);
	int fd = memfd_create("minor", MFD_CLOEXEC | memfd_flags);
	char *other;

	CHECK(fd >= 0 && !ftruncate(fd, N * LARGE + LARGE));
	f->zero_from = 3 * LARGE;
	f->zero_to = 4 * LARGE;
	if (peek)
		memset(f->memory + f->zero_from, 0, LARGE);
	rig_init(&r, f, N * LARGE);
	r.mem = mmap(NULL, r.len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, LARGE);
	other = mmap(NULL, r.len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, LARGE);
	CHECK(r.mem != MAP_FAILED && other != MAP_FAILED);
	/* Minor alone: there have to be pages in the file. */
	if (!(modes & UF_REGISTER_MODE_MISSING))
		CHECK(!fallocate(fd, 0, LARGE, N * LARGE));
	r.region[0] = (struct guest_region){.addr = (uintptr_t)r.mem,
					    .size = r.len,
					    .offset = LARGE,
					    .page_size = size,
					    .flags = REGION_MINOR};
	r.config.nregions = 1;
	r.config.memfd = dup(fd);
	r.config.no_prefetch = !prefetch;
	r.modes = modes;
	r.features = UF_FEATURE_EVENT_REMOVE;
	rig_begin(&r);
	check_all(r.mem, LARGE, r.len);
	r.mem[5] = 77;
	CHECK(other[5] == 77);
	/* Shared memory keeps its contents when it is only unmapped here. */
	CHECK(!madvise(r.mem, LARGE, MADV_DONTNEED));
	CHECK(r.mem[5] == 77);
	CHECK(!madvise(r.mem, LARGE, MADV_REMOVE));
	if (modes & UF_REGISTER_MODE_MISSING)
		CHECK(r.mem[5] == 0 && r.mem[LARGE / 2] == 0);
	rig_end(&r);
	munmap(other, r.len);
	close(fd);
}

int main(void)
{
	uint64_t both = UF_REGISTER_MODE_MISSING | UF_REGISTER_MODE_MINOR;
	char *probe;

	rig_need_uffd();
	for (unsigned i = 0; i < 8; i++)
		test_minor(0, PAGE, i & 1, i & 2, i & 4 ? both : UF_REGISTER_MODE_MINOR);

	before = pool(3 * N);
	atexit(restore);
	probe = mmap(NULL, 3 * N * LARGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1,
		     0);
	if (probe == MAP_FAILED) {
		printf("skipped: there are no huge pages to be had; those of 4 KiB passed\n");
		exit(77);
	}
	munmap(probe, 3 * N * LARGE);
	for (unsigned i = 0; i < 16; i++)
		test_large(i & 1 ? 65536 : 2u << 20, i & 2, i & 4 ? 3 * PAGE : 0, i & 8);
	test_large_fails();
	for (unsigned i = 0; i < 8; i++)
		test_minor(MFD_HUGETLB, LARGE, i & 1, i & 2, i & 4 ? both : UF_REGISTER_MODE_MINOR);
	return 0;
}
