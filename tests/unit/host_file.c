/* host_file.c - maps in place: memory files, shared and private, of ordinary pages. */
#include "host_test.h"

#include <fcntl.h>
#include <sys/ipc.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define N 1100

/* ---- Memory of every sort ---- */

struct sort {
	const char *name;
	char *(*map)(int *fd); /* N shared pages; fd: of the file, or -1 */
};

static char *map_memfd(int *fd)
{
	*fd = test_memory_file(MFD_ALLOW_SEALING, PAGES(N));
	return test_map_file(*fd, PAGES(N), MAP_SHARED);
}

static char *map_closed_memfd(int *fd)
{
	char *p = map_memfd(fd);

	close(*fd);
	*fd = -1;
	return p;
}

static char *map_anon(int *fd)
{
	*fd = -1;
	return test_map_file(-1, PAGES(N), MAP_SHARED | MAP_ANONYMOUS);
}

static char *map_zero(int *fd)
{
	int zero = open("/dev/zero", O_RDWR);
	char *p = test_map_file(zero, PAGES(N), MAP_SHARED);

	close(zero);
	*fd = -1;
	return p;
}

static char *map_sysv(int *fd)
{
	int id = shmget(IPC_PRIVATE, PAGES(N), IPC_CREAT | 0600);
	char *p = id < 0 ? (char *)-1 : shmat(id, NULL, 0);

	CHECK(p != (char *)-1 && shmctl(id, IPC_RMID, NULL) == 0);
	*fd = -1;
	return p;
}

static char *map_tmpfs(int *fd)
{
	char name[] = "/dev/shm/host-file-XXXXXX";

	*fd = mkstemp(name);
	CHECK(*fd >= 0 && unlink(name) == 0 && ftruncate(*fd, (off_t)PAGES(N)) == 0);
	return test_map_file(*fd, PAGES(N), MAP_SHARED);
}

static const struct sort sorts[] = {
	{"memfd", map_memfd},	 {"closed memfd", map_closed_memfd},
	{"anonymous", map_anon}, {"/dev/zero", map_zero},
	{"SysV", map_sysv},	 {"tmpfs", map_tmpfs},
};
#define SORTS (sizeof(sorts) / sizeof(sorts[0]))

static void shared_of_every_sort(void)
{
	char *src, buf[UF_PAGE_SIZE];

	test_start();
	src = test_map(600);
	memset(src, 's', PAGES(600));
	for (unsigned s = 0; s < SORTS; s++) {
		uint64_t bits[8], used, most;
		struct managed m;
		int fd;
		char *p = sorts[s].map(&fd);

		fprintf(stderr, "%s\n", sorts[s].name);
		for (uint64_t i = 0; i < N; i += 7)
			memset(p + PAGES(i), 'o', UF_PAGE_SIZE);
		test_adopt(&m, p + PAGES(10), N - 10);
		CHECK(m.map.kind == MACH_MAP_SHARED && m.map.alias != 0);
		CHECK(host_owns(m.map.alias, PAGES(N - 10)));
		CHECK(READS(p) && !READS(m.p) && !READS(m.p + PAGES(N - 11)));
		mach_pages_mapped(&m.span, 3, 512, bits);
		for (uint64_t i = 0; i < 512; i++)
			CHECK(test_bit(bits, i) == ((i + 13) % 7 == 0));
		CHECK(mach_file_lookup(&m.span, 3, 512, bits) == 512);
		for (uint64_t i = 0; i < 512; i++)
			CHECK(test_bit(bits, i) == ((i + 13) % 7 == 0));
		for (uint64_t i = 0; i < 30; i++)
			CHECK(test_file_has(&m, i) == ((i + 10) % 7 == 0));
		/* What was there is shown again. */
		CHECK(test_open(&m, 4, 1, UF_PROT_READ) == 0);
		CHECK(m.p[PAGES(4)] == 'o' && !WRITES(m.p + PAGES(4)) && !READS(m.p + PAGES(5)));
		/* One page, unaligned, and many. */
		CHECK(!test_file_has(&m, 5) && test_copy(&m, 5, 1, src) == 1 &&
		      test_file_has(&m, 5));
		CHECK(test_copy(&m, 6, 1, src + 100) == 1);
		CHECK(test_open(&m, 5, 2, RW) == 0 && test_is_all(m.p + PAGES(5), 's', PAGES(2)));
		if (fd >= 0) {
			CHECK(pread(fd, buf, UF_PAGE_SIZE, (off_t)PAGES(15)) == (long)sizeof(buf));
			CHECK(test_is_all(buf, 's', PAGES(1)));
		}
		CHECK(mach_file_punch(&m.span, 100, 600) == 0 && !test_file_has(&m, 102));
		CHECK(test_copy(&m, 100, 600, src) == 600);
		CHECK(test_open(&m, 100, 600, RW) == 0 &&
		      test_is_all(m.p + PAGES(100), 's', PAGES(600)));
		memset(m.p + PAGES(100), 'w', UF_PAGE_SIZE);
		CHECK(mach_frames_read(&m.span, 100, buf) == 0 && test_is_all(buf, 'w', PAGES(1)));
		test_limit(&m, 100, 600, 0);
		CHECK(!READS(m.p + PAGES(100)) && !READS(m.p + PAGES(699)));
		mach_frames_drop(&m.span, 100, 600);
		CHECK(test_file_has(&m, 100));
		CHECK(mach_file_punch(&m.span, 100, 600) == 0 && !test_file_has(&m, 100));
		CHECK(mach_frames_read(&m.span, 100, buf) == -EFAULT && !test_file_has(&m, 100));
		CHECK(mach_frames_zero(&m.span, 100, 600) == 0 && test_file_has(&m, 699));
		CHECK(test_open(&m, 100, 600, RW) == 0 &&
		      test_is_all(m.p + PAGES(100), 0, PAGES(600)));
		mach_pages_private(&m.span, 100, 512, bits);
		CHECK(!test_bit(bits, 0));
		test_release(&m);
		CHECK(test_is_all(p, 'o', PAGES(1)));
		munmap(p, PAGES(10));
		if (fd >= 0)
			close(fd);
		mach_usage(&used, &most);
		CHECK(used == 0);
	}
}

/* Pages to read, the second half past the end of their file. */
static char *truncated_source(void)
{
	int fd = test_memory_file(MFD_ALLOW_SEALING, PAGES(N));
	char *p = test_map_file(fd, PAGES(N), MAP_SHARED);

	memset(p, 'T', PAGES(40));
	CHECK(ftruncate(fd, (off_t)PAGES(20)) == 0 && close(fd) == 0);
	return p;
}

/* Where 2 MiB of a file are all holes the host may make one page of them; nobody need know. */
static void large_pieces(void)
{
	char *src, *p, buf[UF_PAGE_SIZE];

	test_start();
	src = test_map(N);
	for (unsigned pass = 0; pass < 3; pass++) {
		uint64_t bits[8];
		struct managed m;
		char *view;
		int fd;

		memset(src, 'L', PAGES(N));
		p = pass == 0 ? map_anon(&fd) : map_memfd(&fd);
		view = pass == 0 ? NULL : test_map_file(fd, PAGES(N), MAP_SHARED);
		if (pass == 2)
			madvise(p, PAGES(N), MADV_NOHUGEPAGE);
		test_adopt(&m, p, N);
		CHECK(test_copy(&m, 0, N, src) == N && test_file_has(&m, 0) &&
		      test_file_has(&m, N - 1));
		CHECK(test_open(&m, 0, N, RW) == 0 && test_is_all(m.p, 'L', PAGES(N)));
		CHECK(!view || test_is_all(view, 'L', PAGES(N)));
		test_limit(&m, 0, N, 0);
		/* Its parts go one by one. */
		CHECK(mach_file_punch(&m.span, 5, 1) == 0 && mach_file_punch(&m.span, 700, 3) == 0);
		CHECK(mach_file_lookup(&m.span, 0, 512, bits) == 512);
		for (uint64_t i = 0; i < 512; i++)
			CHECK(test_bit(bits, i) == (i != 5));
		CHECK(test_file_has(&m, 699) && !test_file_has(&m, 702) && test_file_has(&m, 703));
		CHECK(test_copy(&m, 5, 1, src) == 1 && test_copy(&m, 0, 512, src) == -EEXIST);
		CHECK(mach_file_punch(&m.span, 0, N) == 0);
		for (uint64_t i = 0; i < N; i += 100)
			CHECK(!test_file_has(&m, i));
		/* Not all of them holes. */
		if (view)
			view[PAGES(100)] = 'v';
		CHECK(test_copy(&m, 0, 512, src) == (view ? 100 : 512));
		CHECK(!view || (view[PAGES(100)] == 'v' && !test_file_has(&m, 101)));
		/* Zeroes. */
		CHECK(mach_frames_zero(&m.span, 512, 512) == 0 && test_file_has(&m, 1023));
		CHECK(test_open(&m, 512, 512, RW) == 0 &&
		      test_is_all(m.p + PAGES(512), 0, PAGES(512)));
		CHECK(!test_file_has(&m, 1024));
		test_limit(&m, 512, 512, 0);
		/* A source that ends, and one that is not there. */
		CHECK(mach_file_punch(&m.span, 0, N) == 0);
		CHECK(mprotect(src + PAGES(300), PAGES(1), PROT_NONE) == 0);
		CHECK(test_copy(&m, 512, 512, src) == 300);
		CHECK(test_file_has(&m, 811) && !test_file_has(&m, 812) &&
		      !test_file_has(&m, 1023));
		CHECK(test_copy(&m, 0, 512, src + PAGES(300)) == -EFAULT && !test_file_has(&m, 0));
		CHECK(mach_frames_read(&m.span, 600, buf) == 0 && test_is_all(buf, 'L', PAGES(1)));
		CHECK(mprotect(src + PAGES(300), PAGES(1), PROT_READ | PROT_WRITE) == 0);
		test_release(&m);
		if (view)
			munmap(view, PAGES(N));
		if (fd >= 0)
			close(fd);
	}
}

/* Private copies of as much leave nothing in the file. */
static void large_private_copies(void)
{
	char *src = test_map(1024), *view;
	struct managed m;
	struct stat st;
	int fd = test_memory_file(MFD_ALLOW_SEALING, PAGES(N));

	test_start();
	memset(src, 'P', PAGES(1024));
	view = test_map_file(fd, PAGES(N), MAP_SHARED);
	test_adopt(&m, test_map_file(fd, PAGES(N), MAP_PRIVATE), N);
	for (unsigned round = 0; round < 2; round++) {
		CHECK(test_copy(&m, 0, 1024, src) == 1024 && fstat(fd, &st) == 0 &&
		      st.st_blocks == 0);
		CHECK(test_open(&m, 0, 1024, RW) == 0 && test_is_all(m.p, 'P', PAGES(1024)));
		test_limit(&m, 0, 1024, 0);
		mach_frames_drop(&m.span, 0, 1024);
		CHECK(!test_file_has(&m, 0) && !test_file_has(&m, 1023));
	}
	CHECK(mach_frames_zero(&m.span, 0, 512) == 0);
	CHECK(test_open(&m, 0, 512, RW) == 0 && test_is_all(m.p, 0, PAGES(512)));
	test_limit(&m, 0, 512, 0);
	mach_frames_drop(&m.span, 0, 512);
	CHECK(mprotect(src + PAGES(300), PAGES(1), PROT_NONE) == 0);
	CHECK(test_copy(&m, 512, 512, src) == 300);
	CHECK(test_copy(&m, 0, 512, src + PAGES(300)) == -EFAULT);
	CHECK(fstat(fd, &st) == 0 && st.st_blocks == 0);
	mach_frames_drop(&m.span, 512, 300);
	/* What the file has stays. */
	memset(view + PAGES(17), 'v', UF_PAGE_SIZE);
	CHECK(test_copy(&m, 0, 300, src) == 300);
	mach_frames_drop(&m.span, 0, 300);
	CHECK(test_file_has(&m, 17) && !test_file_has(&m, 16) && view[PAGES(17)] == 'v');
	CHECK(fstat(fd, &st) == 0 && st.st_blocks == UF_PAGE_SIZE / 512);
	test_release(&m);
	munmap(view, PAGES(N));
	close(fd);
}

/* A source that ends leaves nothing behind it. */
static void sources_that_end(void)
{
	char *src, *p, *beyond;
	int fd;

	test_start();
	beyond = truncated_source();
	src = test_map(40);
	memset(src, 'S', PAGES(40));
	CHECK(munmap(src + PAGES(30), PAGES(10)) == 0);
	CHECK(!READS(src + PAGES(30)));
	for (unsigned pass = 0; pass < 3; pass++) {
		struct rlimit none = {0, RLIM_INFINITY}, all = {RLIM_INFINITY, RLIM_INFINITY};
		struct managed m;

		p = map_memfd(&fd);
		if (pass == 2) {
			munmap(p, PAGES(N));
			p = test_map_file(fd, PAGES(N), MAP_PRIVATE);
		}
		test_adopt(&m, p, N);
		/* Then not by pwrite, and no signal either. */
		CHECK(setrlimit(RLIMIT_FSIZE, pass == 1 ? &none : &all) == 0);
		for (uint64_t n = 2; n < 30; n += 17) {
			const char *from = src + PAGES(30 - n);

			CHECK(test_copy(&m, 100, n + 1, from) == (long)n);
			CHECK(test_file_has(&m, 100 + n - 1) == (pass < 2) &&
			      !test_file_has(&m, 100 + n));
			CHECK(test_copy(&m, 200, n, from + 100) == (long)n - 1);
			CHECK(!test_file_has(&m, 200 + n - 1));
			CHECK(test_copy(&m, 300, 1, src + PAGES(30)) == -EFAULT);
			CHECK(test_copy(&m, 300, 1, src + PAGES(29) + 8) == -EFAULT);
			CHECK(test_copy(&m, 300, 20, src + PAGES(29) + 8) == -EFAULT);
			CHECK(!test_file_has(&m, 300));
			CHECK(test_copy(&m, 400, 40, beyond) == 20 && !test_file_has(&m, 420));
			CHECK(test_copy(&m, 500, 3, beyond + PAGES(19)) == 1 &&
			      !test_file_has(&m, 501));
			CHECK(test_copy(&m, 600, 20, beyond + PAGES(20)) == -EFAULT);
			CHECK(!test_file_has(&m, 600));
			CHECK(test_open(&m, 100, n, RW) == 0 &&
			      test_is_all(m.p + PAGES(100), 'S', PAGES(n)));
			test_limit(&m, 100, n, 0);
			mach_frames_drop(&m.span, 100, 550);
			CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
					(off_t)PAGES(N)) == 0);
		}
		CHECK(setrlimit(RLIMIT_FSIZE, &all) == 0);
		test_release(&m);
		close(fd);
	}
}

static void end_of_the_file(void)
{
	static const int flags[] = {MAP_SHARED, MAP_PRIVATE};
	char *src;

	test_start();
	src = test_map(N);
	memset(src, 'e', PAGES(N));
	for (unsigned i = 0; i < 2; i++) {
		int fd = test_memory_file(MFD_ALLOW_SEALING, PAGES(N));
		uint64_t bits[8];
		struct managed m;
		struct stat st;

		test_adopt(&m, test_map_file(fd, PAGES(N), flags[i]), N);
		CHECK(ftruncate(fd, (off_t)PAGES(50) + 1) == 0);
		CHECK(mach_file_lookup(&m.span, 0, 512, bits) == 51);
		CHECK(mach_file_lookup(&m.span, 51, 1, bits) == 0);
		CHECK(mach_file_lookup(&m.span, 50, 1, bits) == 1 && !test_bit(bits, 0));
		CHECK(test_copy(&m, 51, 1, src) == -EFAULT &&
		      test_copy(&m, 600, 100, src) == -EFAULT);
		CHECK(test_copy(&m, 40, 20, src) == 11);
		CHECK(mach_frames_zero(&m.span, 51, 1) == -EFAULT);
		CHECK(mach_frames_zero(&m.span, 30, 30) == -EFAULT);
		CHECK(mach_frames_zero(&m.span, 30, 10) == 0);
		CHECK(fstat(fd, &st) == 0 && st.st_size == (off_t)PAGES(50) + 1);
		CHECK((flags[i] == MAP_PRIVATE) == (st.st_blocks == 0));
		CHECK(test_open(&m, 40, 11, RW) == 0 &&
		      test_is_all(m.p + PAGES(40), 'e', PAGES(11)));
		CHECK(mach_file_punch(&m.span, 40, 11) == (flags[i] == MAP_PRIVATE ? -EACCES : 0));
		test_limit(&m, 40, 11, 0);
		mach_frames_drop(&m.span, 40, 11);
		CHECK(mach_frames_zero(&m.span, 45, 6) == 0 && test_open(&m, 45, 6, RW) == 0);
		CHECK(test_is_all(m.p + PAGES(45), 0, PAGES(6)));
		CHECK(fstat(fd, &st) == 0 && st.st_size == (off_t)PAGES(50) + 1);
		/* It grows again. */
		CHECK(ftruncate(fd, (off_t)PAGES(N)) == 0);
		CHECK(test_copy(&m, 51, 1, src) == 1 && test_open(&m, 51, 1, RW) == 0);
		CHECK(test_is_all(m.p + PAGES(51), 'e', PAGES(1)));
		test_release(&m);
		close(fd);
	}
}

/* A page that is reserved is there, and one that the source's own mapping makes, too. */
static void pages_that_are_there(void)
{
	int fd = test_memory_file(MFD_ALLOW_SEALING, PAGES(N));
	char *view = test_map_file(fd, PAGES(N), MAP_SHARED);
	struct managed m;
	uint64_t bits[8];

	test_start();
	test_adopt(&m, test_map_file(fd, PAGES(N), MAP_SHARED), N);
	CHECK(fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)PAGES(10), (off_t)PAGES(20)) == 0);
	view[PAGES(40)] = view[PAGES(300)] = 1;
	CHECK(test_file_has(&m, 10) && !test_file_has(&m, 9));
	CHECK(mach_file_lookup(&m.span, 0, 512, bits) == 512);
	for (uint64_t i = 0; i < 512; i++)
		CHECK(test_bit(bits, i) == ((i >= 10 && i < 30) || i == 40 || i == 300));
	CHECK(test_copy(&m, 29, 3, view + PAGES(300)) == -EEXIST);
	CHECK(test_copy(&m, 50, 1, view + PAGES(50)) == -EEXIST && test_file_has(&m, 50));
	CHECK(test_copy(&m, 100, 40, view + PAGES(100)) == -EEXIST && m.p != view);
}

/* ---- Files that refuse ---- */

static void no_room_in_tmpfs(void)
{
	char dir[] = "/tmp/host-file-XXXXXX", name[64];
	struct managed m;
	char *src, *p;
	int fd, done;

	if (!test_may_mount()) {
		printf("  not tested: no mount namespace for us here\n");
		return;
	}
	CHECK(mkdtemp(dir) && mount("none", dir, "tmpfs", 0, "size=256k") == 0);
	snprintf(name, sizeof(name), "%s/file", dir);
	fd = open(name, O_RDWR | O_CREAT, 0600);
	CHECK(fd >= 0 && ftruncate(fd, (off_t)PAGES(N)) == 0 && unlink(name) == 0);
	test_start();
	src = test_map(N);
	memset(src, 'f', PAGES(N));
	for (unsigned pass = 0; pass < 3; pass++) {
		struct rlimit none = {0, RLIM_INFINITY}, all = {RLIM_INFINITY, RLIM_INFINITY};
		long got;

		p = test_map_file(fd, PAGES(N), pass == 2 ? MAP_PRIVATE : MAP_SHARED);
		test_adopt(&m, p, N);
		CHECK(setrlimit(RLIMIT_FSIZE, pass == 1 ? &none : &all) == 0);
		for (done = 0; (got = test_copy(&m, (uint64_t)done, 1, src)) == 1 && done < 200;
		     done++)
			;
		CHECK(setrlimit(RLIMIT_FSIZE, &all) == 0);
		if (pass == 2) {
			/* The copies are the mapping's own, and nothing stays in the file. */
			CHECK(done == 200 && !test_file_has(&m, 0) && !test_file_has(&m, 199));
		} else {
			CHECK(got == -ENOMEM && done > 40 && done <= 64);
			CHECK(test_copy(&m, 500, 40, src) == -ENOMEM);
			CHECK(mach_frames_zero(&m.span, 600, 40) == -ENOMEM);
		}
		CHECK(test_open(&m, 0, (uint64_t)done, RW) == 0);
		CHECK(test_is_all(m.p, 'f', PAGES(done)));
		test_release(&m);
		CHECK(ftruncate(fd, 0) == 0 && ftruncate(fd, (off_t)PAGES(N)) == 0);
	}
	CHECK(umount2(dir, MNT_DETACH) == 0 && rmdir(dir) == 0);
}

static void sealed_files(void)
{
	int fd = test_memory_file(MFD_ALLOW_SEALING, PAGES(N)), ro;
	char *p = test_map_file(fd, PAGES(N), MAP_SHARED), path[64];
	struct mach_vma vma;
	struct managed m;
	char *src;

	test_start();
	src = test_map(20);
	memset(src, 'l', PAGES(20));
	/* Mappings that there are may be written, new ones and write(2) not. */
	CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_GROW) == 0);
	test_adopt(&m, p, N);
	CHECK(test_copy(&m, 0, 1, src) == 1 && test_copy(&m, 1, 20, src) == 20);
	CHECK(test_open(&m, 0, 21, RW) == 0 && test_is_all(p, 'l', PAGES(21)));
	CHECK(mach_file_punch(&m.span, 0, 1) == -EPERM);
	test_release(&m);
	/* None of these can ever be written. */
	p = mmap(NULL, PAGES(N), PROT_READ, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED && mach_vma_next((uint64_t)p, &vma) == 0);
	CHECK(vma.shared && !vma.maywrite && vma.kind == MACH_VMA_SHMEM);
	CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0);
	CHECK(mach_vma_next((uint64_t)p, &vma) == 0 && !vma.maywrite);
	close(fd);
	fd = test_memory_file(MFD_ALLOW_SEALING, PAGES(N));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY);
	p = mmap(NULL, PAGES(N), PROT_READ, MAP_SHARED, ro, 0);
	CHECK(p != MAP_FAILED && mach_vma_next((uint64_t)p, &vma) == 0 && !vma.maywrite);
	/* This one can, but is not. */
	p = mmap(NULL, PAGES(N), PROT_READ, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED && mach_vma_next((uint64_t)p, &vma) == 0 && vma.maywrite);
	p = mmap(NULL, PAGES(N), PROT_READ, MAP_PRIVATE, ro, 0);
	CHECK(p != MAP_FAILED && mach_vma_next((uint64_t)p, &vma) == 0 && vma.maywrite);
}

/* ---- Private ---- */

static void private_copies(void)
{
	char *src, *view, *p, buf[UF_PAGE_SIZE];
	uint64_t bits[8];
	struct managed m;
	int fd = test_memory_file(MFD_ALLOW_SEALING, PAGES(N));

	test_start();
	src = test_map(600);
	memset(src, 'c', PAGES(600));
	view = test_map_file(fd, PAGES(N), MAP_SHARED);
	for (uint64_t i = 0; i < N; i += 3)
		memset(view + PAGES(i), 'f', UF_PAGE_SIZE);
	p = test_map_file(fd, PAGES(N), MAP_PRIVATE);
	p[PAGES(3)] = 'p';
	CHECK(p[PAGES(6)] == 'f');
	test_adopt(&m, p, N);
	CHECK(m.map.kind == MACH_MAP_PRIVATE && m.map.alias == 0 && !READS(p + PAGES(3)));
	mach_pages_private(&m.span, 0, 512, bits);
	for (uint64_t i = 0; i < 512; i++)
		CHECK(test_bit(bits, i) == (i == 3));
	mach_pages_mapped(&m.span, 0, 64, bits);
	CHECK(test_bit(bits, 3) && test_bit(bits, 6));
	CHECK(mach_file_lookup(&m.span, 0, 512, bits) == 512);
	for (uint64_t i = 0; i < 512; i++)
		CHECK(test_bit(bits, i) == (i % 3 == 0));
	/* Over pages of the file and over holes; neither changes. */
	CHECK(test_copy(&m, 100, 1, src) == 1 && test_copy(&m, 102, 1, src) == 1);
	CHECK(test_copy(&m, 400, 600, src) == 600);
	CHECK(test_open(&m, 100, 1, RW) == 0 && test_is_all(p + PAGES(100), 'c', PAGES(1)));
	CHECK(test_open(&m, 400, 600, RW) == 0 && test_is_all(p + PAGES(400), 'c', PAGES(600)));
	CHECK(test_is_all(view + PAGES(102), 'f', PAGES(1)) && view[PAGES(402)] == 'f');
	CHECK(!test_file_has(&m, 100) && !test_file_has(&m, 401) && test_file_has(&m, 102));
	mach_pages_private(&m.span, 400, 512, bits);
	for (uint64_t i = 0; i < 512; i++)
		CHECK(test_bit(bits, i));
	CHECK(mach_frames_read(&m.span, 401, buf) == 0 && test_is_all(buf, 'c', PAGES(1)));
	CHECK(test_copy(&m, 5, 1, NULL) == -EFAULT && mach_frames_read(&m.span, 5, buf) == -EFAULT);
	/* The file again. */
	test_limit(&m, 402, 2, 0);
	mach_frames_drop(&m.span, 402, 2);
	CHECK(test_open(&m, 402, 1, RW) == 0 && test_is_all(p + PAGES(402), 'f', PAGES(1)));
	CHECK(!test_file_has(&m, 403) && mach_frames_read(&m.span, 403, buf) == -EFAULT);
	/* A write to what is shown so copies. */
	p[PAGES(402)] = 'P';
	CHECK(view[PAGES(402)] == 'f' && p[PAGES(402) + 1] == 'f');
	CHECK(mach_frames_zero(&m.span, 200, 40) == 0 && test_open(&m, 200, 40, RW) == 0);
	CHECK(test_is_all(p + PAGES(200), 0, PAGES(40)) && !test_file_has(&m, 200) &&
	      view[PAGES(201)] == 'f');
	CHECK(mach_file_punch(&m.span, 201, 1) == -EACCES);
	CHECK(p[PAGES(100)] == 'c' && !READS(p + PAGES(99)));
	test_release(&m);
}

/* ---- Regular files ---- */

static void regular_files(void)
{
	char name[] = "/var/tmp/host-file-XXXXXX", *src, *p;
	int fd = mkstemp(name);
	struct mach_vma vma;
	struct managed m;
	uint64_t bits[8];

	CHECK(fd >= 0 && ftruncate(fd, (off_t)PAGES(N)) == 0);
	test_start();
	src = test_map(100);
	memset(src, 'r', PAGES(100));
	CHECK(pwrite(fd, src, PAGES(2), (off_t)PAGES(8)) == (long)PAGES(2));
	p = test_map_file(fd, PAGES(N), MAP_SHARED);
	CHECK(mach_vma_next((uint64_t)p, &vma) == 0);
	if (vma.kind == MACH_VMA_SHMEM) {
		printf("  not tested: %s is no regular file system\n", name);
		return;
	}
	CHECK(vma.kind == MACH_VMA_FILE && vma.ino != 0 && vma.maywrite);
	close(fd);
	test_adopt(&m, p, N);
	CHECK(mach_file_lookup(&m.span, 0, 512, bits) == 512);
	for (uint64_t i = 0; i < 16; i++)
		CHECK(test_bit(bits, i) == (i == 8 || i == 9));
	CHECK(test_copy(&m, 64, 64, src) == 64 && test_open(&m, 64, 64, RW) == 0);
	CHECK(test_is_all(p + PAGES(64), 'r', PAGES(64)) && test_file_has(&m, 127) &&
	      !test_file_has(&m, 128));
	test_release(&m);
	fd = open(name, O_RDONLY);
	p = mmap(NULL, PAGES(N), PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK(p != MAP_FAILED);
	test_adopt(&m, p, N);
	CHECK(test_copy(&m, 8, 1, src + 1) == 1 && test_copy(&m, 300, 2, src) == 2);
	CHECK(test_open(&m, 8, 2, RW) == 0 && test_is_all(p + PAGES(8), 'r', PAGES(2)));
	CHECK(!test_file_has(&m, 300) && test_file_has(&m, 8));
	test_release(&m);
	CHECK(unlink(name) == 0);
}

/* ---- Two views ---- */

static struct managed left, right;
static _Atomic bool stop;

/* Whatever page the other one has, it has all of it. */
static void *viewer(void *arg)
{
	uint64_t seen = 0;

	(void)arg;
	while (!stop) {
		for (uint64_t page = 0; page < N; page++) {
			char buf[UF_PAGE_SIZE];
			struct mach_entry e;
			bool there;

			mach_enter(&e);
			there = test_file_has(&right, page);
			mach_leave(&e);
			if (!there || mach_frames_read(&right.span, page, buf) != 0)
				continue;
			CHECK(test_is_all(buf, (char)(page | 1), PAGES(1)));
			seen++;
		}
	}
	return (void *)seen;
}

static void pages_are_complete(void)
{
	struct rlimit none = {0, RLIM_INFINITY}, all = {RLIM_INFINITY, RLIM_INFINITY};
	int fd = test_memory_file(MFD_ALLOW_SEALING, PAGES(N));
	pthread_t thread;
	char *src;
	void *seen;

	test_start();
	src = test_map(20);
	test_adopt(&left, test_map_file(fd, PAGES(N), MAP_SHARED), N);
	test_adopt(&right, test_map_file(fd, PAGES(N), MAP_SHARED), N);
	CHECK(pthread_create(&thread, NULL, viewer, NULL) == 0);
	for (unsigned round = 0; round < 30; round++) {
		CHECK(setrlimit(RLIMIT_FSIZE, round % 2 ? &none : &all) == 0);
		for (uint64_t page = 0; page < N; page++) {
			memset(src, (int)(page | 1), PAGES(20));
			CHECK(test_copy(&left, page, 1, src) == 1);
			CHECK(test_copy(&right, page, 1, src) == -EEXIST);
			CHECK(mach_frames_zero(&right.span, page, 1) == 0);
		}
		CHECK(mach_file_punch(&left.span, 0, N) == 0);
	}
	stop = true;
	CHECK(pthread_join(thread, &seen) == 0 && seen != NULL);
}

/* ---- Writers that do not know ---- */

#define WRITER_PAGES 64

static struct managed shared;
static struct mach_rwlock space;

static enum mm_outcome open_on_touch(const struct mm_access *access)
{
	uint64_t page;

	mach_read_lock(&space);
	page = (access->addr - (uint64_t)shared.p) >> UF_PAGE_SHIFT;
	if (shared.span.npages != 0 && page < WRITER_PAGES)
		CHECK(mach_tlb_open(&shared.span, page, 1, RW) == 0);
	mach_read_unlock(&space);
	return MM_RETRY;
}

/* Counts up in every page of its own; what it wrote last must always be there. */
static void *writer(void *arg)
{
	uint64_t me = (uint64_t)arg, rounds = 0;

	while (!stop) {
		for (uint64_t i = me; i < WRITER_PAGES; i += 2) {
			_Atomic uint64_t *word = (void *)(shared.p + PAGES(i) + 64 * me);

			CHECK(atomic_load(word) == rounds);
			atomic_store(word, rounds + 1);
		}
		rounds++;
	}
	return (void *)rounds;
}

static void no_write_is_lost_in(int flags)
{
	struct mach_entry e;
	pthread_t thread[2];
	void *rounds;
	int fd = test_memory_file(MFD_ALLOW_SEALING, PAGES(N));

	stop = false;
	shared.span.npages = 0;
	shared.p = test_map_file(fd, PAGES(N), flags);
	for (uint64_t i = 0; i < 2; i++)
		CHECK(pthread_create(&thread[i], NULL, writer, (void *)i) == 0);
	for (unsigned round = 0; round < 300; round++) {
		uint64_t bits[8];
		struct managed m;

		sched_yield();
		mach_enter(&e);
		mach_write_lock(&space);
		test_adopt(&m, shared.p, WRITER_PAGES);
		mach_pages_mapped(&m.span, 0, WRITER_PAGES, bits);
		shared = m;
		mach_write_unlock(&space);
		mach_leave(&e);
		sched_yield();
		/* Given back as the child of a fork has it, under the writers. */
		mach_enter(&e);
		mach_write_lock(&space);
		CHECK(mach_tlb_open(&shared.span, 0, WRITER_PAGES, RW) == 0);
		shared.span.npages = 0;
		mach_write_lock(&registry.lock);
		registry_remove((uint64_t)shared.p, WRITER_PAGES);
		mach_write_unlock(&registry.lock);
		mach_map_destroy(&shared.map);
		mach_write_unlock(&space);
		mach_leave(&e);
	}
	stop = true;
	for (int i = 0; i < 2; i++)
		CHECK(pthread_join(thread[i], &rounds) == 0 && rounds != NULL);
	close(fd);
}

static void no_write_is_lost(void)
{
	test_start();
	test_fault = open_on_touch;
	CHECK(host_arm() == 0);
	no_write_is_lost_in(MAP_SHARED);
	no_write_is_lost_in(MAP_PRIVATE);
}

/* ---- Without a descriptor ---- */

/* Nobody may open a mapping's file then, so there is only the mapping. */
static void without_descriptor(void)
{
	char *src, *p, buf[UF_PAGE_SIZE];
	struct host_file *f;
	struct managed m;
	struct stat st;
	int fd;

	CHECK(geteuid() != 0 || setresuid(65534, 65534, 65534) == 0);
	CHECK(prctl(PR_SET_DUMPABLE, 1) == 0);
	test_start();
	src = test_map(40);
	memset(src, 'd', PAGES(40));
	p = map_anon(&fd);
	p[PAGES(7)] = 'a';
	test_adopt(&m, p, N);
	f = arena_at((uf_ref)m.map.file);
	CHECK(f->fd < 0 && test_file_has(&m, 7) && !test_file_has(&m, 8));
	CHECK(test_copy(&m, 8, 1, src + 5) == 1 && test_copy(&m, 20, 30, src) == 30);
	CHECK(test_open(&m, 7, 2, RW) == 0 && p[PAGES(7)] == 'a' &&
	      test_is_all(p + PAGES(8), 'd', PAGES(1)));
	CHECK(test_open(&m, 20, 30, RW) == 0 && test_is_all(p + PAGES(20), 'd', PAGES(30)));
	CHECK(mach_frames_read(&m.span, 8, buf) == 0 && test_is_all(buf, 'd', PAGES(1)));
	CHECK(mach_frames_zero(&m.span, 60, 20) == 0 && test_file_has(&m, 79) &&
	      !test_file_has(&m, 80));
	munmap(src + PAGES(20), PAGES(20));
	CHECK(!READS(src + PAGES(20)));
	CHECK(test_copy(&m, 100, 5, src + PAGES(17) + 1) == 2 && !test_file_has(&m, 102));
	CHECK(test_copy(&m, 200, 20, src + PAGES(4) + 1) == 15 && !test_file_has(&m, 215));
	CHECK(test_copy(&m, 300, 1, src + PAGES(20)) == -EFAULT && !test_file_has(&m, 300));
	CHECK(test_copy(&m, 400, 40, truncated_source()) == 20 && !test_file_has(&m, 420));
	test_release(&m);
	/* One that was noted is found though the program has closed its own. */
	p = map_memfd(&fd);
	CHECK(host_note_file(fd) == 0 && fstat(fd, &st) == 0);
	close(fd);
	test_adopt(&m, p, N);
	f = arena_at((uf_ref)m.map.file);
	CHECK(f->fd >= 0 && test_copy(&m, 3, 1, src) == 1 && test_file_has(&m, 3));
	test_release(&m);
	host_forget_file(st.st_dev, st.st_ino);
	p = map_closed_memfd(&fd);
	test_adopt(&m, p, N);
	f = arena_at((uf_ref)m.map.file);
	CHECK(f->fd < 0);
}

/* What private copies leave in a file that nobody can punch is not the file's. */
static void private_without_descriptor(void)
{
	static const char zeros[UF_PAGE_SIZE];
	struct managed m, other, view;
	char *src, *shared;
	int fd = test_memory_file(MFD_ALLOW_SEALING, PAGES(N));

	CHECK(geteuid() != 0 || setresuid(65534, 65534, 65534) == 0);
	CHECK(prctl(PR_SET_DUMPABLE, 1) == 0);
	test_start();
	src = test_map(600);
	memset(src, 'p', PAGES(600));
	shared = test_map_file(fd, PAGES(N), MAP_SHARED);
	shared[PAGES(7)] = 'a';
	m.p = test_map_file(fd, PAGES(N), MAP_PRIVATE);
	other.p = test_map_file(fd, PAGES(N), MAP_PRIVATE);
	view.p = test_map_file(fd, PAGES(N), MAP_SHARED);
	close(fd);
	test_adopt(&m, m.p, N);
	test_adopt(&other, other.p, N);
	test_adopt(&view, view.p, N);
	for (unsigned round = 0; round < 3; round++) {
		CHECK(!test_file_has(&m, 8) && test_file_has(&m, 7) && !test_file_has(&other, 8));
		CHECK(test_copy(&m, 7, 2, src) == 2 && test_copy(&m, 100, 600, src) == 600);
		CHECK(test_open(&m, 7, 2, RW) == 0 && test_is_all(m.p + PAGES(7), 'p', PAGES(2)));
		CHECK(test_open(&m, 100, 600, RW) == 0 &&
		      test_is_all(m.p + PAGES(100), 'p', PAGES(600)));
		CHECK(!test_file_has(&m, 8) && !test_file_has(&other, 100) &&
		      !test_file_has(&view, 699));
		test_limit(&m, 7, 2, 0);
		test_limit(&m, 100, 600, 0);
		mach_frames_drop(&m.span, 7, 2);
		mach_frames_drop(&m.span, 100, 600);
		CHECK(!test_file_has(&m, 100) && !test_file_has(&m, 511) &&
		      !test_file_has(&m, 699));
		CHECK(mach_frames_zero(&m.span, 300, 1) == 0 && !test_file_has(&m, 300));
		mach_frames_drop(&m.span, 300, 1);
	}
	/* Others may write there, and then it is. */
	shared[PAGES(200) + 5] = 'b';
	CHECK(test_file_has(&m, 200) && test_file_has(&other, 200) && test_file_has(&view, 200));
	CHECK(test_open(&m, 200, 1, UF_PROT_READ) == 0 && m.p[PAGES(200) + 5] == 'b');
	CHECK(test_copy(&view, 201, 1, zeros) == 1 && test_file_has(&m, 201) &&
	      !test_file_has(&m, 202));
	CHECK(mach_frames_zero(&view.span, 202, 1) == 0 && test_file_has(&m, 202));
	CHECK(!test_file_has(&m, 203));
	test_release(&m);
	test_release(&other);
	test_release(&view);
}

/* The machine's descriptors and mappings are nothing to the program. */
static void hidden_from_the_program(void)
{
	struct mach_vma vma;
	struct managed m;
	struct host_file *f;
	struct stat st;
	int fd, low;

	test_start();
	test_adopt(&m, map_memfd(&fd), N);
	f = arena_at((uf_ref)m.map.file);
	CHECK(f->fd >= host_fd_floor() && host_owns_fd(f->fd));
	low = dup(fd);
	CHECK(low < 64);
	for (uint64_t at = 0; mach_vma_next(at, &vma) == 0; at = vma.end) {
		CHECK(vma.start >= m.map.alias + PAGES(N) || vma.end <= m.map.alias);
		if (vma.kind == MACH_VMA_SHMEM)
			CHECK(!host_owns(vma.start, vma.end - vma.start));
	}
	CHECK(mach_vma_next((uint64_t)m.p, &vma) == 0 && vma.kind == MACH_VMA_SPECIAL);
	CHECK(fstat(fd, &st) == 0 && vma.ino == st.st_ino && vma.dev == st.st_dev);
	/* Its position is its own. */
	CHECK(lseek(fd, 5, SEEK_SET) == 5 && test_file_has(&m, 3) == false);
	CHECK(lseek(fd, 0, SEEK_CUR) == 5);
	fd = f->fd;
	test_release(&m);
	CHECK(!host_owns_fd(fd) && fcntl(fd, F_GETFD) == -1);
}

static const struct test tests[] = {
	{"shared_of_every_sort", shared_of_every_sort},
	{"large_pieces", large_pieces},
	{"large_private_copies", large_private_copies},
	{"sources_that_end", sources_that_end},
	{"end_of_the_file", end_of_the_file},
	{"pages_that_are_there", pages_that_are_there},
	{"no_room_in_tmpfs", no_room_in_tmpfs},
	{"sealed_files", sealed_files},
	{"private_copies", private_copies},
	{"regular_files", regular_files},
	{"pages_are_complete", pages_are_complete},
	{"no_write_is_lost", no_write_is_lost},
	{"without_descriptor", without_descriptor},
	{"private_without_descriptor", private_without_descriptor},
	{"hidden_from_the_program", hidden_from_the_program},
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
