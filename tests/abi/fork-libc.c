/* SPDX-License-Identifier: MIT */
/* _Fork, and forks inside libc (popen, system): the memory is the child's as well. */
#include "procs.h"

int main(void)
{
	char text[16] = "";

	start();
	int fd = uffd_open(0);
	char *p = map(1);
	EQ(reg(fd, p, PG, MISSING), 0);
	DONE(copy(fd, p, page_of(1), PG, 0), PG);
	pid_t pid = _Fork();
	CHECK(pid >= 0);
	if (!pid) {
		put(p, 2);
		_exit(get(p) == 2 && get(p + 1) == 1 ? 4 : 1);
	}
	EQ(ends(pid), 4);
	FILE *f = popen("echo seven", "r");
	CHECK(f);
	CHECK(fgets(text, sizeof text, f));
	EQ(strcmp(text, "seven\n"), 0);
	EQ(pclose(f), 0);
	EQ(system("exit 3"), 3 << 8);
	EQ(p[0], 1);
	CHECK(quiet(fd));
	return 0;
}
