/* SPDX-License-Identifier: MIT */
/* posix_spawn whose arguments, path and environment lie in missing pages. */
#include "procs.h"

#include <spawn.h>

static int fd;

static void *serve(void *arg)
{
	char **pages = arg;

	for (int i = 0; i < 3; i++) {
		struct uffd_msg msg = next_msg(fd);
		char *page = (char *)msg.pagefault.address;
		DONE(copy(fd, page, pages[(page - pages[3]) / PG], PG, 0), PG);
	}
	return NULL;
}

int main(void)
{
	struct thread t;
	pid_t pid;

	start();
	fd = uffd_open_full(0);
	char *p = map(3), *pages[] = {page_of(0), page_of(0), page_of(0), p};
	strcpy(pages[0], "/bin/sh");
	strcpy(pages[1], "test \"$VALUE\" = twelve && exit 12");
	strcpy(pages[2], "VALUE=twelve");
	char *args[] = {"sh", "-c", p + PG, NULL}, *env[] = {p + 2 * PG, NULL};
	EQ(reg(fd, p, 3 * PG, MISSING), 0);
	run(&t, serve, pages);
	EQ(posix_spawn(&pid, p, NULL, NULL, args, env), 0);
	EQ(ends(pid), 12);
	join(&t);
	CHECK(quiet(fd));
	return 0;
}
