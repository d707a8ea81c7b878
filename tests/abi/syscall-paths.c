/* SPDX-License-Identifier: MIT */
/* Paths in missing pages, and what system calls tell about files. */
#include "served.h"

#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

static char dir[64];

static void *under(const char *name)
{
	char path[128];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return lend_string(path);
}

int main(void)
{
	char text[64];

	serve();
	strcpy(dir, "/tmp/abi-paths-XXXXXX");
	CHECK(mkdtemp(dir));

	long fd = SYS(SYS_open, under("a"), O_CREAT | O_RDWR, 0600);
	CHECK(fd >= 0);
	ASKED(1);
	close(fd);
	snprintf(text, sizeof text, "%s/a", dir);
	fd = SYS(SYS_openat, AT_FDCWD, lend_over(text, strlen(text) + 1), O_RDWR);
	CHECK(fd >= 0);
	ASKED(2);
	EQ(write(fd, "content", 7), 7);

	struct stat *st = lend(NULL, sizeof *st);
	EQ(SYS(SYS_stat, under("a"), st), 0);
	ASKED(2);
	EQ(st->st_size, 7);
	st = lend_over(NULL, sizeof *st);
	EQ(SYS(SYS_fstat, fd, st), 0);
	ASKED(2);
	EQ(st->st_size, 7);
	EQ(SYS(SYS_lstat, under("a"), st), 0);
	EQ(SYS(SYS_newfstatat, AT_FDCWD, under("a"), st = lend(NULL, sizeof *st), 0), 0);
	EQ(st->st_size, 7);
	ASKED(3);
	struct statx *stx = lend(NULL, sizeof *stx);
	EQ(SYS(SYS_statx, AT_FDCWD, under("a"), 0, STATX_SIZE, stx), 0);
	EQ(stx->stx_size, 7);
	ASKED(2);
	struct statfs *fs = lend(NULL, sizeof *fs);
	EQ(SYS(SYS_statfs, under("a"), fs), 0);
	CHECK(fs->f_bsize > 0);
	EQ(SYS(SYS_fstatfs, fd, fs = lend(NULL, sizeof *fs)), 0);
	CHECK(fs->f_bsize > 0);
	ASKED(3);

	EQ(SYS(SYS_access, under("a"), R_OK), 0);
	EQ(SYS(SYS_chmod, under("a"), 0640), 0);
	EQ(SYS(SYS_truncate, under("a"), 3), 0);
	EQ(SYS(SYS_mkdir, under("d"), 0700), 0);
	EQ(SYS(SYS_rmdir, under("d")), 0);
	ASKED(5);
	EQ(SYS(SYS_rename, under("a"), under("b")), 0);
	EQ(SYS(SYS_link, under("b"), under("c")), 0);
	EQ(SYS(SYS_symlink, lend_string("target"), under("s")), 0);
	ASKED(6);
	char *to = lend(NULL, 100);
	EQ(SYS(SYS_readlink, under("s"), to, 100), 6);
	ASKED(2);
	CHECK(memcmp(to, "target", 6) == 0);
	ERR(open(under("s"), O_RDONLY), ENOENT);
	ASKED(1);

	if (fsetxattr(fd, "user.abi", "x", 1, 0) == 0) {
		EQ(SYS(SYS_setxattr, under("b"), lend_string("user.abi"), lend("value", 5), 5, 0),
		   0);
		ASKED(3);
		to = lend(NULL, 100);
		EQ(SYS(SYS_getxattr, under("b"), lend_string("user.abi"), to, 100), 5);
		ASKED(3);
		CHECK(memcmp(to, "value", 5) == 0);
	}

	char *cwd = lend(NULL, PG);
	EQ(SYS(SYS_chdir, lend_string(dir)), 0);
	EQ(SYS(SYS_getcwd, cwd, PG), (long)strlen(dir) + 1);
	ASKED(2);
	EQ(strcmp(cwd, dir), 0);
	EQ(chdir("/"), 0);
	EQ(SYS(SYS_unlink, under("b")), 0);
	EQ(SYS(SYS_unlinkat, AT_FDCWD, under("c"), 0), 0);
	EQ(SYS(SYS_unlink, under("s")), 0);
	EQ(SYS(SYS_rmdir, lend_string(dir)), 0);
	ASKED(4);
	return 0;
}
