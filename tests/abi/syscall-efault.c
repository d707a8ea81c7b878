/* SPDX-License-Identifier: MIT */
/* Where system calls are refused missing pages they fail, and what is there can be used. */
#include "abi.h"

#include <linux/futex.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/utsname.h>

static int pipes[2], pair[2];

static void refused(int fd)
{
	char *p = map(3), *src = map(1);

	strcpy(src, "/dev/null");
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	DONE(copy(fd, p, src, PG, 0), PG);
	struct iovec iov[2] = {{p, 10}, {p + PG, 10}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

	ERR(syscall(SYS_uname, p + PG), EFAULT);
	ERR(syscall(SYS_open, p + PG, O_RDONLY), EFAULT);
	ERR(syscall(SYS_stat, p, p + PG), EFAULT);
	ERR(syscall(SYS_stat, p + PG, p), EFAULT);
	ERR(syscall(SYS_futex, p + PG, FUTEX_WAIT_PRIVATE, 1, NULL), EFAULT);
	ERR(syscall(SYS_nanosleep, p + PG, NULL), EFAULT);
	ERR(syscall(SYS_pipe2, p + PG, 0), EFAULT);
	ERR(syscall(SYS_readv, pipes[0], p + PG, 1), EFAULT);
	ERR(syscall(SYS_poll, p + PG, 1, 0), EFAULT);
	ERR(syscall(SYS_rt_sigprocmask, SIG_BLOCK, p + PG, NULL, 8), EFAULT);
	ERR(syscall(SYS_sendmsg, pair[0], p + PG, 0), EFAULT);
	ERR(syscall(SYS_sendmsg, pair[0], &msg, 0), EFAULT);
	ERR(syscall(SYS_process_vm_readv, getpid(), &iov[1], 1, &iov[0], 1, 0), EFAULT);

	/* Addresses that nothing is at are no different than ever. */
	ERR(syscall(SYS_recvmsg, pair[0], 8, 0), EFAULT);
	ERR(syscall(SYS_readv, pipes[0], 8, 1), EFAULT);
	ERR(syscall(SYS_writev, pipes[1], map_prot(1, PROT_NONE), 1), EFAULT);
	ERR(syscall(SYS_sendto, pair[0], 8, 5, 0, NULL, 0), EFAULT);
	ERR(syscall(SYS_uname, 8), EFAULT);
	ERR(syscall(SYS_poll, 8, 1, 0), EFAULT);
	ERR(syscall(SYS_stat, "/dev/null", map_prot(1, PROT_READ)), EFAULT);

	/* The part that is there goes through. */
	int file = memfd_create("abi", MFD_CLOEXEC);
	EQ(write(file, "0123456789abcdefghij", 20), 20);
	EQ(syscall(SYS_preadv, file, iov, 2, 0, 0), 10);
	CHECK(memcmp(p, "0123456789", 10) == 0);
	EQ(syscall(SYS_writev, file, iov, 2), 10);
	/* A pipe keeps what could not be stored. */
	EQ(write(pipes[1], "0123456789", 10), 10);
	ERR(syscall(SYS_read, pipes[0], p + PG, 10), EFAULT);
	EQ(read(pipes[0], src, 20), 10);
	CHECK(memcmp(src, "0123456789", 10) == 0);
	EQ(syscall(SYS_uname, p), 0);
	CHECK(quiet(fd));
	CHECK(!populated(p + PG));
	close(file);
	close(fd);
}

int main(void)
{
	start();
	close(uffd_new(0)); /* skips where userfaultfd is refused altogether */
	EQ(pipe(pipes), 0);
	EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	about = "SIGBUS";
	refused(uffd_open(UFFD_FEATURE_SIGBUS));
	about = "user mode only";
	int fd = syscall(SYS_userfaultfd, O_NONBLOCK | UFFD_USER_MODE_ONLY);
	CHECK(fd >= 0);
	EQ(uffd_api(fd, 0), 0);
	refused(fd);
	return 0;
}
