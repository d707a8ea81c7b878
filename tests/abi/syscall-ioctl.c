/* SPDX-License-Identifier: MIT */
/* Arguments of ioctl and fcntl in missing pages: old numbers, and those that tell their size. */
#include "served.h"

#include <linux/fs.h>
#include <linux/random.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>

int main(void)
{
	int pipes[2], zero = 0, *number;

	serve();
	EQ(pipe(pipes), 0);
	EQ(write(pipes[1], "12345", 5), 5);
	number = lend(NULL, 4);
	EQ(SYS(SYS_ioctl, pipes[0], FIONREAD, number), 0);
	ASKED(1);
	EQ(*number, 5);
	EQ(SYS(SYS_ioctl, pipes[0], FIONBIO, lend(&zero, 4)), 0);
	ASKED(1);

	int pty = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (pty >= 0) {
		struct winsize size = {24, 80, 0, 0}, *got = lend_over(NULL, sizeof *got);
		char *termios = lend_over(NULL, 36);
		EQ(SYS(SYS_ioctl, pty, TIOCSWINSZ, lend_over(&size, sizeof size)), 0);
		EQ(SYS(SYS_ioctl, pty, TIOCGWINSZ, got), 0);
		ASKED(4);
		EQ(got->ws_col, 80);
		EQ(SYS(SYS_ioctl, pty, TCGETS, termios), 0);
		ASKED(2);
		EQ(SYS(SYS_ioctl, pty, TCSETS, lend_over(termios, 36)), 0);
		ASKED(2);
		number = lend(NULL, 4);
		EQ(SYS(SYS_ioctl, pty, TIOCGPTN, number), 0);
		ASKED(1);
		CHECK(*number >= 0);
		EQ(SYS(SYS_ioctl, pty, TIOCSPTLCK, lend(&zero, 4)), 0);
		ASKED(1);
	}
	int device = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	CHECK(device >= 0);
	number = lend(NULL, 4);
	EQ(SYS(SYS_ioctl, device, RNDGETENTCNT, number), 0);
	ASKED(1);
	CHECK(*number > 0);

	int sock = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq request = {.ifr_name = "lo"}, *answer = lend_over(&request, sizeof request);
	EQ(SYS(SYS_ioctl, sock, SIOCGIFFLAGS, answer), 0);
	ASKED(2);
	CHECK(answer->ifr_flags & IFF_LOOPBACK);

	int file = memfd_create("abi", MFD_CLOEXEC);
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 7};
	EQ(SYS(SYS_fcntl, file, F_OFD_SETLK, lend(&lock, sizeof lock)), 0);
	ASKED(1);
	struct flock *found = lend_over(&lock, sizeof lock);
	EQ(SYS(SYS_fcntl, file, F_GETLK, found), 0);
	ASKED(2);
	EQ(found->l_pid, -1);
	EQ(found->l_start, 5);
	return 0;
}
