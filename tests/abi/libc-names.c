/* SPDX-License-Identifier: MIT */
/* The other names under which libc offers the same calls: 64, _chk, and their kin. */
#include "abi.h"

extern ssize_t __read_chk(int fd, void *buffer, size_t count, size_t size);
extern ssize_t __pread64_chk(int fd, void *buffer, size_t count, off64_t at, size_t size);
extern int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size);
extern int __open64_2(const char *path, int flags);

static void serve(int fd, char *page)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	struct uffd_msg msg;

	EQ(__poll_chk(&ready, 1, -1, sizeof ready), 1);
	EQ(__read_chk(fd, &msg, sizeof msg, sizeof msg), sizeof msg);
	fault_at(__FILE__, __LINE__, msg, page, 0);
	DONE(copy(fd, page, page_of(1), PG, 0), PG);
}

int main(void)
{
	struct thread t;
	uint64_t entry;

	start();
	int fd = uffd_open(0);
	int moved = fcntl64(fd, F_DUPFD_CLOEXEC, 100);
	CHECK(moved >= 100);
	EQ(dup3(fd, 90, O_CLOEXEC), 90);
	close(fd);
	close(90);
	char *p = mmap64(NULL, 3 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	EQ(reg(moved, p, 3 * PG, MISSING), 0);
	reader(&t, p);
	serve(moved, p);
	join(&t);

	int pagemap_fd = __open64_2("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	CHECK(pagemap_fd >= 0);
	for (int i = 0; i < 2; i++) {
		off64_t at = ((uintptr_t)p / PG + i) * 8;
		EQ(__pread64_chk(pagemap_fd, &entry, 8, at, 8), 8);
		EQ(!!(entry & PM_PRESENT), i == 0);
		EQ(lseek64(pagemap_fd, at, SEEK_SET), at);
		EQ(read(pagemap_fd, &entry, 8), 8);
		EQ(!!(entry & PM_PRESENT), i == 0);
	}
	pagemap_fd = open64("/proc/thread-self/pagemap", O_RDONLY | O_CLOEXEC);
	CHECK(pagemap_fd >= 0);
	EQ(pread64(pagemap_fd, &entry, 8, (uintptr_t)p / PG * 8), 8);
	CHECK(entry & PM_PRESENT);
	EQ(posix_madvise(p, PG, POSIX_MADV_WILLNEED), 0);

	EQ(close_range(100, moved, 0), 0);
	EQ(p[PG], 0);
	EQ(fcntl(moved, F_GETFD), -1);
	return 0;
}
