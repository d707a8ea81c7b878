/* SPDX-License-Identifier: MIT */
/* Everything through syscall(): programs that bring their own wrappers do it so. */
#include "abi.h"

static int fd;
static char *p;

static void *touch(void *arg)
{
	sigset_t every;

	(void)arg;
	sigfillset(&every);
	EQ(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &every, NULL, 8), 0);
	EQ(p[0], 3);
	p[PG] = 4;
	return NULL;
}

static void serve(char *page, uint64_t flags)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	struct timespec limit = {20, 0};
	struct uffd_msg msg;
	struct uffdio_copy arg = {(uintptr_t)page, (uintptr_t)page_of(3), PG, 0, 0};

	EQ(syscall(SYS_ppoll, &ready, 1, &limit, NULL, 0), 1);
	EQ(syscall(SYS_read, fd, &msg, sizeof msg), sizeof msg);
	fault_at(__FILE__, __LINE__, msg, page, flags);
	EQ(syscall(SYS_ioctl, fd, UFFDIO_COPY, &arg), 0);
	EQ(arg.copy, PG);
}

int main(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct thread t;
	struct uffd_msg msg;

	start();
	fd = uffd_new(O_CLOEXEC | O_NONBLOCK);
	EQ(syscall(SYS_ioctl, fd, UFFDIO_API, &api), 0);
	p = (char *)syscall(SYS_mmap, NULL, 4 * PG, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0l);
	CHECK(p != MAP_FAILED);
	EQ(syscall(SYS_mprotect, p, 4 * PG, PROT_READ | PROT_WRITE), 0);
	struct uffdio_register r = {.range = {(uintptr_t)p, 4 * PG}, .mode = MISSING};
	EQ(syscall(SYS_ioctl, fd, UFFDIO_REGISTER, &r), 0);
	ERR(syscall(SYS_read, fd, &msg, sizeof msg), EAGAIN);
	run(&t, touch, NULL);
	serve(p, 0);
	serve(p + PG, UFFD_PAGEFAULT_FLAG_WRITE);
	join(&t);
	EQ(p[PG], 4);

	EQ(syscall(SYS_madvise, p, PG, MADV_DONTNEED), 0);
	reader(&t, p);
	serve(p, 0);
	join(&t);
	int copy_fd = syscall(SYS_dup, fd);
	CHECK(copy_fd >= 0);
	EQ(syscall(SYS_close, fd), 0);
	reader(&t, p + 2 * PG);
	fd = copy_fd;
	serve(p + 2 * PG, 0);
	join(&t);
	EQ(syscall(SYS_munmap, p, PG), 0);
	EQ(try_read(p, NULL), SIGSEGV);
	EQ(syscall(SYS_close, fd), 0);
	EQ(p[3 * PG], 0);
	return 0;
}
