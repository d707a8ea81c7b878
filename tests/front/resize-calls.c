/* SPDX-License-Identifier: MIT */
/* Every call that takes pages out of a file takes them out of registered memory that shows it. */
#include "abi.h"

#include <sys/stat.h>

static char path[] = "/dev/shm/resize-XXXXXX";
static int file, uffd;
static char *shared, *private;

static char *view(int flags)
{
	char *p = mmap(NULL, 4 * PG, PROT_READ | PROT_WRITE, flags, file, 0);

	CHECK(p != MAP_FAILED);
	EQ(reg(uffd, p, 4 * PG, MISSING), 0);
	return p;
}

/* Four pages, in the file and as private copies. */
static void fill(void)
{
	EQ(ftruncate(file, 4 * PG), 0);
	uffd = uffd_open(0);
	shared = view(MAP_SHARED);
	private = view(MAP_PRIVATE);
	for (int i = 0; i < 4; i++) {
		DONE(copy(uffd, shared + i * PG, page_of(1 + i), PG, 0), PG);
		DONE(copy(uffd, private + i * PG, page_of(11 + i), PG, 0), PG);
	}
}

static void over(void)
{
	CHECK(quiet(uffd));
	EQ(munmap(shared, 4 * PG), 0);
	EQ(munmap(private, 4 * PG), 0);
	close(uffd);
	EQ(ftruncate(file, 0), 0);
}

/* Pages from `first` on have gone with the end of the file. */
static void ends_at(int first)
{
	for (int i = 0; i < 4; i++) {
		about = i < first ? "a page that stays" : "a page beyond the end";
		if (i < first) {
			EQ(shared[i * PG], 1 + i);
			EQ(private[i * PG], 11 + i);
		} else {
			EQ(try_read(shared + i * PG, NULL), SIGBUS);
			EQ(try_read(private + i * PG, NULL), SIGBUS);
		}
	}
	about = NULL;
	over();
}

/* Pages [first, end) of the file have gone; private copies stay. */
static void hole(int first, int end)
{
	struct thread t;

	for (int i = 0; i < 4; i++) {
		if (i >= first && i < end) {
			reader(&t, shared + i * PG);
			FAULT(uffd, shared + i * PG, 0);
			DONE(copy(uffd, shared + i * PG, page_of(21 + i), PG, 0), PG);
			join(&t);
			EQ(t.byte, 21 + i);
		} else {
			EQ(shared[i * PG], 1 + i);
		}
		EQ(private[i * PG], 11 + i);
	}
	over();
}

static void truncates(void)
{
	fill();
	EQ(ftruncate(file, PG), 0);
	ends_at(1);
	fill();
	EQ(ftruncate64(file, 0), 0);
	ends_at(0);
	fill();
	EQ(truncate(path, 2 * PG), 0);
	ends_at(2);
	fill();
	EQ(truncate64(path, 3 * PG), 0);
	ends_at(3);
	fill();
	EQ(syscall(SYS_ftruncate, file, PG), 0);
	ends_at(1);
	fill();
	EQ(syscall(SYS_truncate, path, 0L), 0);
	ends_at(0);
	/* The rest of the last page becomes zeroes where it is. */
	fill();
	EQ(ftruncate(file, PG + 100), 0);
	EQ(shared[PG + 99], 2);
	EQ(shared[PG + 100], 0);
	EQ(private[PG + 100], 12);
	ends_at(2);
	fill();
	ERR(ftruncate(file, -1), EINVAL);
	ERR(ftruncate(-1, 0), EBADF);
	ERR(truncate("/dev/shm/no/such/file", 0), ENOENT);
	ends_at(4);
}

static void closing(int fd)
{
	CHECK(fd >= 0);
	close(fd);
	ends_at(0);
	fill();
}

static void opens(void)
{
	FILE *f;

	fill();
	closing(open(path, O_RDWR | O_TRUNC));
	closing(open64(path, O_RDWR | O_CREAT | O_TRUNC, 0600));
	closing(openat(AT_FDCWD, path, O_WRONLY | O_TRUNC));
	closing(openat64(AT_FDCWD, path, O_WRONLY | O_TRUNC));
	closing(creat(path, 0600));
	closing(creat64(path, 0600));
	closing((int)syscall(SYS_open, path, O_RDWR | O_TRUNC, 0));
	closing((int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_TRUNC, 0));
	closing((int)syscall(SYS_creat, path, 0600));
	f = fopen(path, "w");
	CHECK(f != NULL);
	fclose(f);
	ends_at(0);
	fill();
	f = fopen64(path, "w+");
	CHECK(f != NULL);
	fclose(f);
	ends_at(0);
	fill();
	f = freopen(path, "w", fopen("/dev/null", "r"));
	CHECK(f != NULL);
	fclose(f);
	ends_at(0);
	fill();
	EQ(fopen(path, "wx"), NULL);
	EQ(errno, EEXIST);
	ERR(open(path, O_RDWR | O_CREAT | O_EXCL | O_TRUNC, 0600), EEXIST);
	ends_at(4);
}

static void holes(void)
{
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	fill();
	EQ(fallocate(file, punch, PG, 2 * PG), 0);
	hole(1, 3);
	fill();
	EQ(fallocate64(file, punch, 0, PG), 0);
	hole(0, 1);
	fill();
	EQ(syscall(SYS_fallocate, file, punch, 3 * PG, 4 * PG), 0);
	hole(3, 4);
	/* Parts of pages become zeroes where they are. */
	fill();
	EQ(fallocate(file, punch, 100, 2 * PG), 0);
	EQ(shared[99], 1);
	EQ(shared[100], 0);
	EQ(shared[2 * PG + 99], 0);
	EQ(shared[2 * PG + 100], 3);
	shared[2 * PG] = 3;
	hole(1, 2);
	fill();
	EQ(fallocate(file, 0, 0, 8 * PG), 0);
	EQ(posix_fallocate(file, 0, 4 * PG), 0);
	ERR(fallocate(file, FALLOC_FL_PUNCH_HOLE, 0, PG), EOPNOTSUPP);
	ERR(fallocate(file, punch, 0, 0), EINVAL);
	hole(0, 0);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM);
	file = mkstemp(path);
	CHECK(file >= 0);
	truncates();
	opens();
	holes();
	return unlink(path);
}
