/* SPDX-License-Identifier: MIT */
/* What /proc and fstat show of the descriptor. */
#include "abi.h"

#include <sys/stat.h>

int main(void)
{
	char path[64], text[64];
	struct stat st;

	start();
	int fd = uffd_new(O_CLOEXEC);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(path, text, sizeof text - 1);
	CHECK(n > 0);
	text[n] = 0;
	EQ(strcmp(text, "anon_inode:[userfaultfd]"), 0);
	EQ(fstat(fd, &st), 0);
	EQ(st.st_mode, 0600);
	EQ(st.st_size, 0);
	return 0;
}
