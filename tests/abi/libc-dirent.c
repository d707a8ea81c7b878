/* SPDX-License-Identifier: MIT */
/* readdir reads into memory of its own; parts of it may be missing. */
#include "libc-serve.h"

#include <dirent.h>

#define FILES 200

static struct server server;

int main(void)
{
	char dir[] = "/tmp/abi-libc-dirent-XXXXXX", path[512];
	struct dirent *e;
	int i, found = 0;
	char *page;
	DIR *d;

	start();
	serve(&server, uffd_open_full(0), NULL);
	CHECK(mkdtemp(dir));
	for (i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "%s/%0100d", dir, i);
		EQ(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
	}
	d = opendir(dir);
	CHECK(d);
	/* Its buffer, of 32 KiB, follows the structure. */
	page = (char *)(((uintptr_t)d + 2 * PG) & -PG);
	EQ(madvise(page, 2 * PG, MADV_DONTNEED), 0);
	EQ(reg(server.fd, page, 2 * PG, MISSING), 0);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.') {
			EQ(strlen(e->d_name), 100);
			found++;
			EQ(unlinkat(dirfd(d), e->d_name, 0), 0);
		}
	EQ(found, FILES);
	EQ(served(&server), 2);
	EQ(closedir(d), 0);
	EQ(rmdir(dir), 0);
	serve_no_more(&server);
	return 0;
}
