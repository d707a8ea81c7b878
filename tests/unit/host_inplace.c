/*
 * host_inplace.c - maps in place: moved, extended, forked, collapsed; huge pages, the host's own
 * and ordinary memory that is taken for them; guest memory.
 */
#include "host_test.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define N    512
#define HUGE (1ull << HUGE_SHIFT)

/* ---- Moving ---- */

static void move_one(int fd, int flags)
{
	char *view = fd >= 0 ? test_map_file(fd, PAGES(N), MAP_SHARED) : NULL, *src = test_map(N);
	struct managed m, left, more;
	struct mach_span part;
	uint64_t to, used, most;

	memset(src, 'x', PAGES(N));
	test_adopt(&m, test_map_file(fd, PAGES(N), flags), N);
	CHECK(test_copy(&m, 0, 256, src) == 256 && test_open(&m, 0, 256, RW) == 0);
	m.p[PAGES(110)] = 'y';
	test_limit(&m, 105, 1, UF_PROT_READ);
	/* The middle goes, and its place is kept, and becomes a map of the same pages. */
	CHECK(mach_reserve(0, PAGES(200), &to) == 0);
	part = (struct mach_span){&m.map, (uint64_t)m.p + PAGES(100), 100, 100, RW};
	CHECK(mach_map_move(&part, to, true) == 0);
	part.addr = to;
	CHECK(!READS((char *)to) && READS(m.p + PAGES(99)) && !READS(m.p + PAGES(100)));
	left.p = m.p + PAGES(100);
	CHECK(mach_map_extend(&left.map, &m.map, 100, (uint64_t)left.p, 100) == 0);
	left.span = (struct mach_span){&left.map, (uint64_t)left.p, 0, 100, RW};
	CHECK(left.map.file_page == 100 && !READS(left.p) && !READS(left.p + PAGES(99)));
	CHECK(mach_tlb_open(&part, 100, 100, RW) == 0 && test_open(&left, 0, 100, RW) == 0);
	CHECK(*((char *)to + PAGES(10)) == 'y' && *((char *)to + PAGES(5)) == 'x');
	CHECK(left.p[PAGES(10)] == (flags & MAP_PRIVATE ? 0 : 'y'));
	if (view)
		CHECK(view[PAGES(110)] == (flags & MAP_PRIVATE ? 0 : 'y'));
	*((char *)to + PAGES(11)) = 'z';
	CHECK(left.p[PAGES(11)] == (flags & MAP_PRIVATE ? 0 : 'z'));
	/* The pages behind follow. */
	more.p = (char *)to + PAGES(100);
	CHECK(mach_map_extend(&more.map, &m.map, 200, (uint64_t)more.p, 100) == 0);
	more.span = (struct mach_span){&more.map, (uint64_t)more.p, 0, 100, RW};
	CHECK(!READS(more.p) && test_open(&more, 0, 100, RW) == 0);
	CHECK(more.p[0] == (flags & MAP_PRIVATE ? 0 : 'x'));
	CHECK(mach_munmap(to, PAGES(200)) == 0 && mach_munmap((uint64_t)m.p, PAGES(N)) == 0);
	mach_map_destroy(&m.map);
	mach_map_destroy(&left.map);
	mach_map_destroy(&more.map);
	mach_usage(&used, &most);
	CHECK(used == 0);
}

static void moves_and_extends(void)
{
	int fd;

	test_start();
	move_one(-1, MAP_SHARED | MAP_ANONYMOUS);
	fd = test_memory_file(0, PAGES(N));
	move_one(fd, MAP_SHARED);
	fd = test_memory_file(0, PAGES(N));
	move_one(fd, MAP_PRIVATE);
}

/* Where no descriptor can be had, other ways lead there. */
static void extends_without_descriptor(void)
{
	struct managed m, behind, beyond;
	char *src, *room, *p;
	int fd;

	CHECK(geteuid() != 0 || setresuid(65534, 65534, 65534) == 0);
	CHECK(prctl(PR_SET_DUMPABLE, 1) == 0);
	test_start();
	src = test_map(N);
	memset(src, 'x', PAGES(N));
	move_one(-1, MAP_SHARED | MAP_ANONYMOUS);
	/* Beyond what is mapped, of a file that is longer. */
	for (int flags = MAP_SHARED; flags <= MAP_PRIVATE; flags++) {
		fd = test_memory_file(0, PAGES(N));
		CHECK(pwrite(fd, src, PAGES(N), 0) == (long)PAGES(N));
		room = mmap(NULL, PAGES(300), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(room != MAP_FAILED);
		p = mmap(room, PAGES(100), PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0);
		CHECK(p == room && close(fd) == 0);
		test_adopt(&m, p, 100);
		CHECK(mach_map_extend(&behind.map, &m.map, 100, (uint64_t)p + PAGES(100), 100) ==
		      0);
		behind.p = p + PAGES(100);
		behind.span = (struct mach_span){&behind.map, (uint64_t)behind.p, 0, 100, RW};
		CHECK(!READS(behind.p) && test_open(&behind, 0, 100, RW) == 0);
		CHECK(test_is_all(behind.p, 'x', PAGES(100)));
		if (flags == MAP_SHARED) {
			beyond.p = test_map(100);
			CHECK(mach_map_extend(&beyond.map, &m.map, 300, (uint64_t)beyond.p, 100) ==
			      0);
			beyond.span =
				(struct mach_span){&beyond.map, (uint64_t)beyond.p, 0, 100, RW};
			CHECK(test_open(&beyond, 0, 100, RW) == 0);
			CHECK(test_is_all(beyond.p, 'x', PAGES(100)));
			test_release(&beyond);
		}
		test_release(&behind);
		test_release(&m);
	}
}

/* ---- fork ---- */

static void child_inherits(void)
{
	struct managed shared, private;
	int fd = test_memory_file(0, PAGES(N)), status;
	struct mach_span half;
	char *src;
	pid_t pid;

	test_start();
	src = test_map(N);
	memset(src, 'f', PAGES(N));
	test_adopt(&shared, test_map_file(fd, PAGES(N), MAP_SHARED), N);
	test_adopt(&private, test_map_file(fd, PAGES(N), MAP_PRIVATE), N);
	CHECK(test_copy(&shared, 0, 300, src) == 300 && test_copy(&private, 0, 1, src) == 1);
	CHECK(test_open(&shared, 3, 1, RW) == 0 && test_open(&private, 0, 2, RW) == 0);
	private.p[0] = 'p';
	/* The program has changed what the second half allows. */
	half = shared.span;
	half.addr += PAGES(200);
	half.first = 200;
	half.npages -= 200;
	half.prot = UF_PROT_READ;
	mach_tlb_limit(&half, 200, N - 200, UF_PROT_READ);
	shared.span.npages = 200;
	mach_fork_begin();
	pid = fork();
	if (pid == 0) {
		mach_fork_child();
		/* All is as it was, and what was closed is. */
		CHECK(WRITES(shared.p + PAGES(3)) && private.p[0] == 'p');
		CHECK(!READS(shared.p + PAGES(6)) && !READS(private.p + PAGES(7)));
		CHECK(test_open(&shared, 0, 200, RW) == 0 &&
		      test_open(&private, 1, N - 1, RW) == 0);
		CHECK(test_is_all(shared.p, 'f', PAGES(200)));
		CHECK(private.p[PAGES(1)] == 'f' && private.p[PAGES(400)] == 0);
		shared.p[PAGES(5)] = 'c';
		private.p[PAGES(6)] = 'c';
		CHECK(WRITES(shared.p + PAGES(199)) && WRITES(private.p + PAGES(250)));
		CHECK(private.p[PAGES(6)] == 'c' && private.p[PAGES(6) + 1] == 'f');
		_exit(0);
	}
	mach_fork_parent();
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	CHECK(test_open(&shared, 5, 1, RW) == 0 && shared.p[PAGES(5)] == 'c');
	CHECK(test_open(&private, 6, 1, RW) == 0 && private.p[PAGES(6)] == 'f');
	CHECK(!READS(shared.p + PAGES(6)) && !READS(private.p + PAGES(7)));
}

/* ---- From one kind to another ---- */

static void moves_between_kinds(void)
{
	struct managed m[3];
	char *src;

	test_start();
	src = test_map(N);
	test_manage(&m[0], N);
	test_adopt(&m[1], test_map_file(test_memory_file(0, PAGES(N)), PAGES(N), MAP_SHARED), N);
	test_adopt(&m[2], test_map_file(test_memory_file(0, PAGES(N)), PAGES(N), MAP_PRIVATE), N);
	for (uint64_t i = 0; i < 9; i++) {
		struct managed *from = &m[i / 3], *to = &m[i % 3];
		uint64_t at = i * 20, there = 200 + i * 20, bits[8];

		memset(src, (int)i + 1, PAGES(20));
		CHECK(test_copy(from, at, 20, src) == 20);
		CHECK(mach_frames_move(&to->span, there, &from->span, at, 20) == 0);
		CHECK(test_open(to, there, 20, RW) == 0);
		CHECK(test_is_all(to->p + PAGES(there), (char)(i + 1), PAGES(20)));
		if (from == &m[1])
			CHECK(!test_file_has(from, at) && !test_file_has(from, at + 19));
		mach_pages_private(&from->span, at, 20, bits);
		CHECK(!test_bit(bits, 0) && !test_bit(bits, 19));
	}
}

/* ---- Collapse ---- */

static void collapses(void)
{
	int fd = test_memory_file(0, 2 * HUGE), err;
	char *src, *p;
	struct managed m;

	test_start();
	src = test_map(1024);
	memset(src, 'k', PAGES(1024));
	p = mmap((void *)0x200000000000, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		 fd, 0);
	CHECK(p != MAP_FAILED);
	test_adopt(&m, p, 1024);
	CHECK(test_copy(&m, 0, 1024, src) == 1024);
	/* Guards all around. */
	for (uint64_t i = 0; i < 1024; i += 3)
		CHECK(test_open(&m, i, 1, RW) == 0);
	err = mach_file_advise(&m.span, 0, N, MADV_COLLAPSE);
	CHECK(err == 0 || err == -EINVAL || err == -EAGAIN);
	CHECK(!READS(p) && !READS(p + PAGES(3)) && READS(p + PAGES(513)));
	CHECK(test_open(&m, 0, N, RW) == 0 && test_is_all(p, 'k', HUGE));
	test_limit(&m, 7, 1, 0);
	CHECK(READS(p + PAGES(6)) && !READS(p + PAGES(7)) && READS(p + PAGES(8)));
}

/* ---- Huge pages ---- */

static bool have_huge;

static void huge_map(struct managed *m, int fd, int flags)
{
	struct mach_vma vma;
	char *p = mmap(NULL, 4 * HUGE, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd, 0);

	CHECK(p != MAP_FAILED && mach_vma_next((uint64_t)p, &vma) == 0);
	CHECK(vma.kind == MACH_VMA_HUGETLB && vma.page_shift == HUGE_SHIFT);
	CHECK(vma.shared == !!(flags & MAP_SHARED) && vma.maywrite);
	test_adopt(m, p, 4 * N);
	CHECK(m->map.chunk_pages % N == 0);
	CHECK(!READS(p) && !READS(p + 4 * HUGE - 1));
}

static void huge_shared(int fd)
{
	char *view = test_map_file(fd, 4 * HUGE, MAP_SHARED | MAP_NORESERVE),
	     *src = test_map(3 * N + 1);
	struct managed m, left;
	uint64_t bits[8], to;
	char buf[UF_PAGE_SIZE];

	memset(src, 'h', PAGES(3 * N + 1));
	huge_map(&m, fd, MAP_SHARED);
	CHECK(mach_file_lookup(&m.span, 0, N, bits) == N && !test_bit(bits, 0) &&
	      !test_bit(bits, N - 1));
	CHECK(test_copy(&m, N, N, src + 100) == N);
	CHECK(mach_file_lookup(&m.span, N, N, bits) == N && test_bit(bits, 0) &&
	      test_bit(bits, N - 1));
	CHECK(test_is_all(view + HUGE, 'h', HUGE) && !test_file_has(&m, 0) &&
	      !test_file_has(&m, 2 * N));
	CHECK(test_open(&m, N, N, RW) == 0 && test_is_all(m.p + HUGE, 'h', HUGE));
	mach_pages_mapped(&m.span, N, N, bits);
	CHECK(test_bit(bits, 0) && test_bit(bits, N - 1));
	/* Others make pages, and take them away. */
	view[2 * HUGE + 5] = 'v';
	CHECK(test_file_has(&m, 2 * N) && test_file_has(&m, N) && !test_file_has(&m, 3 * N) &&
	      !test_file_has(&m, 0));
	CHECK(mach_frames_read(&m.span, 2 * N, buf) == 0 && buf[5] == 'v' && buf[6] == 0);
	CHECK(madvise(view + 2 * HUGE, HUGE, MADV_REMOVE) == 0);
	CHECK(!test_file_has(&m, 2 * N) && test_file_has(&m, N));
	CHECK(mach_frames_read(&m.span, 2 * N, buf) == -EFAULT);
	/* A source that ends makes nothing of the page it ends in. */
	CHECK(munmap(src + PAGES(2 * N), PAGES(N)) == 0);
	CHECK(test_copy(&m, 2 * N, 2 * N, src + PAGES(N)) == N);
	CHECK(test_file_has(&m, 2 * N) && !test_file_has(&m, 3 * N));
	CHECK(test_copy(&m, 3 * N, N, src + PAGES(N) + 1) == -EFAULT && !test_file_has(&m, 3 * N));
	CHECK(mach_file_punch(&m.span, N, 2 * N) == 0);
	CHECK(!test_file_has(&m, N) && !test_file_has(&m, 2 * N));
	CHECK(mach_frames_zero(&m.span, N, N) == 0 && test_open(&m, N, N, UF_PROT_READ) == 0);
	CHECK(test_is_all(m.p + HUGE, 0, HUGE) && !WRITES(m.p + HUGE));
	m.span.npages = 2 * N;
	CHECK(mach_reserve(0, 4 * HUGE, &to) == 0);
	to = (to + HUGE - 1) & ~(HUGE - 1);
	CHECK(mach_map_move(&m.span, to, true) == 0);
	CHECK(mach_map_extend(&left.map, &m.map, 0, (uint64_t)m.p, 2 * N) == 0);
	left.span = (struct mach_span){&left.map, (uint64_t)m.p, 0, 2 * N, RW};
	m.span.addr = to;
	CHECK(test_copy(&left, 0, N, src) == N);
	CHECK(test_open(&left, 0, N, RW) == 0 && test_open(&m, 0, N, RW) == 0);
	CHECK(test_is_all((char *)to, 'h', HUGE) && test_is_all(m.p, 'h', HUGE) &&
	      !READS(m.p + HUGE));
	CHECK(ftruncate(fd, (off_t)HUGE) == 0);
	CHECK(mach_file_lookup(&m.span, N, N, bits) == 0 && test_copy(&m, N, N, src) == -EFAULT);
	CHECK(mach_file_lookup(&m.span, 0, N, bits) == N && test_bit(bits, 9));
	munmap(view, 4 * HUGE);
	CHECK(mach_munmap(to, 2 * HUGE) == 0 && mach_munmap((uint64_t)m.p, 4 * HUGE) == 0);
	mach_map_destroy(&m.map);
	mach_map_destroy(&left.map);
}

static void huge_private(int fd)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB : MAP_PRIVATE;
	char *view = fd < 0 ? NULL : test_map_file(fd, 4 * HUGE, MAP_SHARED | MAP_NORESERVE);
	char *src = test_map(N + 1);
	struct managed m;
	struct stat st;
	uint64_t bits[8];

	memset(src, 'h', PAGES(N + 1));
	if (view)
		memset(view + HUGE, 'f', HUGE);
	huge_map(&m, fd, flags);
	CHECK(test_file_has(&m, N) == !!view && !test_file_has(&m, 0) && !test_file_has(&m, 2 * N));
	CHECK(test_copy(&m, 0, N, src + 7) == N && test_copy(&m, N, N, src) == N);
	CHECK(test_open(&m, 0, 2 * N, RW) == 0 && test_is_all(m.p, 'h', 2 * HUGE));
	mach_pages_private(&m.span, 0, N, bits);
	CHECK(test_bit(bits, 0) && test_bit(bits, N - 1));
	if (view) {
		CHECK(fstat(fd, &st) == 0 && st.st_blocks == HUGE / 512);
		CHECK(view[HUGE] == 'f' && !test_file_has(&m, 0));
	}
	test_limit(&m, 0, 2 * N, 0);
	mach_frames_drop(&m.span, 0, 2 * N);
	mach_pages_private(&m.span, 0, N, bits);
	CHECK(!test_bit(bits, 0) && !test_bit(bits, N - 1));
	CHECK(!test_file_has(&m, 0) && test_file_has(&m, N) == !!view);
	CHECK(test_open(&m, N, N, RW) == 0 && m.p[HUGE + 9] == (view ? 'f' : 0));
	/* A source that ends. */
	CHECK(munmap(src + PAGES(N / 2), PAGES(N / 2 + 1)) == 0);
	CHECK(test_copy(&m, 3 * N, N, src) == -EFAULT);
	mach_pages_mapped(&m.span, 3 * N, N, bits);
	CHECK(!test_bit(bits, 0));
	CHECK(mach_frames_zero(&m.span, 3 * N, N) == 0 && test_open(&m, 3 * N, N, RW) == 0);
	CHECK(test_is_all(m.p + 3 * HUGE, 0, HUGE));
	if (view)
		munmap(view, 4 * HUGE);
	test_release(&m);
}

/* Filled pages may be host mappings of their own, which nobody need know. */
static void huge_private_moves(int map_flags)
{
	int fd = test_memory_file(MFD_HUGETLB, 4 * HUGE), status;
	char *src = test_map(N), *p;
	struct mach_span part;
	struct managed m, left;
	uint64_t bits[8], to;
	pid_t pid;

	p = mmap(NULL, 4 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | map_flags, fd, 0);
	CHECK(p != MAP_FAILED);
	test_adopt(&m, p, 4 * N);
	for (int round = 0; round < 3; round++) {
		for (uint64_t i = 0; i < 4; i++) {
			memset(src, 'a' + (int)i + round, PAGES(N));
			CHECK(i == 1 || test_copy(&m, i * N, N, src) == N);
		}
		CHECK(mach_frames_zero(&m.span, N, N) == 0 && !READS(p) && !READS(p + HUGE));
		if (round < 2)
			mach_frames_drop(&m.span, 0, 4 * N);
		mach_pages_private(&m.span, 2 * N, N, bits);
		CHECK(test_bit(bits, 0) == (round == 2) && !test_file_has(&m, 2 * N));
	}
	/* The first two pages stay. */
	CHECK(mach_reserve(0, 4 * HUGE, &to) == 0);
	to = (to + HUGE - 1) & ~(HUGE - 1);
	part = (struct mach_span){&m.map, (uint64_t)p + 2 * HUGE, 2 * N, 2 * N, RW};
	CHECK(mach_map_move(&part, to, true) == 0);
	part.addr = to;
	CHECK(mach_map_extend(&left.map, &m.map, 2 * N, (uint64_t)p + 2 * HUGE, 2 * N) == 0);
	left.span = (struct mach_span){&left.map, (uint64_t)p + 2 * HUGE, 0, 2 * N, RW};
	CHECK(mach_map_stands(&m.span) && mach_map_stands(&part));
	CHECK(mach_tlb_open(&part, 2 * N, 2 * N, RW) == 0 && test_open(&m, 0, 2 * N, RW) == 0);
	CHECK(test_is_all((char *)to, 'e', HUGE) && test_is_all((char *)to + HUGE, 'f', HUGE));
	CHECK(test_is_all(p, 'c', HUGE) && test_is_all(p + HUGE, 0, HUGE));
	CHECK(test_open(&left, 0, 2 * N, UF_PROT_READ) == 0 && p[2 * HUGE] == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		_exit(*(char *)to == 'e' && p[0] == 'c' && p[HUGE] == 0 ? 0 : 1);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(mach_munmap(to, 2 * HUGE) == 0 && mach_munmap((uint64_t)p, 4 * HUGE) == 0);
	mach_map_destroy(&m.map);
	mach_map_destroy(&left.map);
	close(fd);
}

static void huge_pages(void)
{
	if (!have_huge) {
		printf("  not tested: no huge pages on this host\n");
		return;
	}
	test_start();
	huge_shared(test_memory_file(MFD_HUGETLB, 4 * HUGE));
	huge_private(test_memory_file(MFD_HUGETLB, 4 * HUGE));
	huge_private(-1);
	huge_private_moves(MAP_NORESERVE);
	huge_private_moves(0);
}

/* Ordinary memory that is noted behaves as huge pages do. */
static void emulated_huge_pages(void)
{
	for (int flags = MAP_SHARED; flags <= MAP_PRIVATE; flags++) {
		int fd = test_memory_file(0, 4 * HUGE);
		char *view, *src;
		struct managed m;
		struct stat st;
		uint64_t bits[8];

		test_start();
		src = test_map(2 * N);
		memset(src, 'e', PAGES(2 * N));
		CHECK(fstat(fd, &st) == 0 && host_note_huge(st.st_dev, st.st_ino) == 0);
		view = test_map_file(fd, 4 * HUGE, MAP_SHARED);
		huge_map(&m, fd, flags);
		CHECK(m.map.page_shift == UF_PAGE_SHIFT && !test_file_has(&m, 0));
		CHECK(test_copy(&m, N, N, src) == N && test_open(&m, N, N, RW) == 0);
		CHECK(test_is_all(m.p + HUGE, 'e', HUGE) && !test_file_has(&m, 2 * N));
		CHECK(test_file_has(&m, N) == (flags == MAP_SHARED));
		CHECK(view[HUGE] == (flags == MAP_SHARED ? 'e' : 0) || flags == MAP_PRIVATE);
		/* Any part of a page is all of it. */
		view[3 * HUGE + PAGES(77)] = 'v';
		CHECK(mach_file_lookup(&m.span, 3 * N, N, bits) == N);
		for (unsigned i = 0; i < N; i++)
			CHECK(test_bit(bits, i));
		CHECK(munmap(src + PAGES(N), PAGES(N)) == 0);
		CHECK(test_copy(&m, 2 * N, N, src + 3) == -EFAULT && !test_file_has(&m, 2 * N));
		mach_pages_mapped(&m.span, 2 * N, N, bits);
		CHECK(!test_bit(bits, 0) && !test_bit(bits, 100));
		CHECK(mach_frames_zero(&m.span, 0, N) == 0 && test_open(&m, 0, N, RW) == 0);
		CHECK(test_is_all(m.p, 0, HUGE));
		test_release(&m);
		host_forget_huge(st.st_dev, st.st_ino);
		CHECK(mach_vma_next((uint64_t)view, &(struct mach_vma){0}) == 0);
		munmap(view, 4 * HUGE);
		close(fd);
	}
}

/* ---- Other kinds ---- */

static void kinds_are_told(void)
{
	struct mach_vma vma;
	int fd = open("/dev/zero", O_RDWR), id;
	char *p;

	test_start();
	p = test_map_file(fd, PAGES(8), MAP_PRIVATE);
	CHECK(mach_vma_next((uint64_t)p, &vma) == 0 && vma.kind == MACH_VMA_DEVZERO);
	p = test_map_file(fd, PAGES(8), MAP_SHARED);
	CHECK(mach_vma_next((uint64_t)p, &vma) == 0 && vma.kind == MACH_VMA_SHMEM && vma.shared);
	fd = test_memory_file(0, PAGES(N));
	p = mmap(NULL, PAGES(8), PROT_READ, MAP_PRIVATE, fd, (off_t)PAGES(7));
	CHECK(p != MAP_FAILED && mach_vma_next((uint64_t)p, &vma) == 0);
	CHECK(vma.kind == MACH_VMA_SHMEM && !vma.shared && vma.file_page == 7 && vma.maywrite);
	CHECK(vma.page_shift == UF_PAGE_SHIFT);
	id = shmget(IPC_PRIVATE, PAGES(8), IPC_CREAT | 0600);
	p = shmat(id, NULL, SHM_RDONLY);
	CHECK(p != (char *)-1 && shmctl(id, IPC_RMID, NULL) == 0);
	CHECK(mach_vma_next((uint64_t)p, &vma) == 0 && vma.kind == MACH_VMA_SHMEM);
	CHECK(vma.shared && !vma.maywrite && vma.dev != 0);
	p = mmap(NULL, PAGES(8), PROT_READ | PROT_WRITE, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);
	if (p != MAP_FAILED)
		CHECK(mach_vma_next((uint64_t)p, &vma) == 0 && vma.kind == MACH_VMA_SPECIAL);
	/* To find out leaves no trace. */
	p = test_map(8);
	CHECK(mach_vma_next((uint64_t)p, &vma) == 0 && vma.kind == MACH_VMA_ANON);
	CHECK(!mach_vma_locked((uint64_t)p) && test_mappings((uint64_t)p, PAGES(8)) == 1);
	CHECK(mlock(p, PAGES(8)) == 0 && mach_vma_next((uint64_t)p, &vma) == 0);
	CHECK(vma.kind == MACH_VMA_ANON && mach_vma_locked((uint64_t)p));
	fd = (int)syscall(SYS_memfd_secret, 0);
	if (fd >= 0) {
		CHECK(ftruncate(fd, (off_t)PAGES(8)) == 0);
		p = test_map_file(fd, PAGES(8), MAP_SHARED);
		CHECK(mach_vma_next((uint64_t)p, &vma) == 0 && vma.kind == MACH_VMA_SECRET);
		p[PAGES(3)] = 's';
		{
			struct managed m;

			test_adopt(&m, p, 8);
			CHECK(!READS(p + PAGES(3)) && test_open(&m, 3, 1, RW) == 0);
			CHECK(p[PAGES(3)] == 's' && !READS(p + PAGES(2)));
			test_limit(&m, 3, 1, UF_PROT_READ);
			CHECK(!WRITES(p + PAGES(3)));
			test_release(&m);
		}
	}
}

#ifndef KVM_CREATE_GUEST_MEMFD
struct kvm_create_guest_memfd {
	uint64_t size, flags, reserved[6];
};
#define KVM_CREATE_GUEST_MEMFD _IOWR(KVMIO, 0xd4, struct kvm_create_guest_memfd)
#endif
#define GMEM_MMAP_SHARED 3 /* mappable, and shared with the host from the beginning */

static int guest_memory(uint64_t len)
{
	struct kvm_create_guest_memfd arg = {.size = len, .flags = GMEM_MMAP_SHARED};
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm, fd;

	vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	fd = vm < 0 ? -1 : ioctl(vm, KVM_CREATE_GUEST_MEMFD, &arg);
	if (kvm >= 0)
		close(kvm);
	return fd;
}

static void guest_memfd(void)
{
	struct mach_vma vma;
	struct managed m;
	char *src, *p, buf[UF_PAGE_SIZE];
	int fd = guest_memory(PAGES(64));

	if (fd < 0) {
		printf("  not tested: no guest_memfd that can be mapped\n");
		return;
	}
	test_start();
	src = test_map(64);
	memset(src, 'g', PAGES(64));
	p = test_map_file(fd, PAGES(64), MAP_SHARED);
	p[PAGES(5)] = 'k';
	CHECK(mach_vma_next((uint64_t)p, &vma) == 0 && vma.kind == MACH_VMA_GMEM && vma.shared);
	test_adopt(&m, p, 64);
	CHECK(!READS(p + PAGES(5)) && test_file_has(&m, 5) && !test_file_has(&m, 6));
	CHECK(test_open(&m, 5, 1, RW) == 0 && p[PAGES(5)] == 'k' && !READS(p + PAGES(6)));
	CHECK(test_copy(&m, 6, 1, src + 1) == 1 && test_copy(&m, 20, 30, src) == 30);
	CHECK(test_file_has(&m, 6) && test_open(&m, 20, 30, RW) == 0);
	CHECK(test_is_all(p + PAGES(20), 'g', PAGES(30)));
	CHECK(mach_frames_read(&m.span, 6, buf) == 0 && test_is_all(buf, 'g', sizeof(buf)));
	CHECK(mach_file_punch(&m.span, 20, 2) == 0 && !test_file_has(&m, 20) &&
	      test_file_has(&m, 22));
	CHECK(mach_frames_read(&m.span, 20, buf) == -EFAULT);
	test_release(&m);
}

static const struct test tests[] = {
	{"moves_and_extends", moves_and_extends},
	{"extends_without_descriptor", extends_without_descriptor},
	{"child_inherits", child_inherits},
	{"moves_between_kinds", moves_between_kinds},
	{"collapses", collapses},
	{"huge_pages", huge_pages},
	{"emulated_huge_pages", emulated_huge_pages},
	{"kinds_are_told", kinds_are_told},
	{"guest_memfd", guest_memfd},
};

/* ---- Huge pages for the test, where it may ask for them ---- */

#define HUGE_WANTED 20

static const char huge_count[] = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
static const char huge_free[] = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";

static long number_in(const char *path)
{
	FILE *f = fopen(path, "r");
	long n = -1;

	if (f && fscanf(f, "%ld", &n) != 1)
		n = -1;
	if (f)
		fclose(f);
	return n;
}

static void set_number(const char *path, long n)
{
	FILE *f = fopen(path, "w");

	if (f) {
		fprintf(f, "%ld", n);
		fclose(f);
	}
}

int main(int argc, char **argv)
{
	long had = number_in(huge_count);
	int failed;

	if (had >= 0 && number_in(huge_free) < HUGE_WANTED)
		set_number(huge_count, had + HUGE_WANTED);
	have_huge = number_in(huge_free) >= HUGE_WANTED;
	failed = test_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
	if (number_in(huge_count) != had)
		set_number(huge_count, had);
	return failed;
}
