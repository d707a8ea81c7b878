/* SPDX-License-Identifier: MIT */
/* A file that is gone takes no room, although its pages were filled by COPY. */
#include "kinds.h"

#include <sys/mount.h>
#include <sys/vfs.h>

int main(void)
{
	char directory[] = "/tmp/abi-freed-XXXXXX";
	struct statfs fs;

	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM);
	CHECK(mkdtemp(directory));
	if (mount("abi", directory, "tmpfs", 0, "size=1m")) {
		rmdir(directory);
		skip_host("no permission to mount a tmpfs");
	}
	int top = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	EQ(umount2(directory, MNT_DETACH), 0);
	EQ(rmdir(directory), 0);
	CHECK(top >= 0);
	EQ(fstatfs(top, &fs), 0);
	size_t room = fs.f_bfree;
	for (int i = 0; i < 3; i++) {
		int fd = uffd_open(0);
		int file = openat(top, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		CHECK(file >= 0);
		EQ(unlinkat(top, "file", 0), 0);
		EQ(ftruncate(file, 4 * PG), 0);
		char *p = mmap(NULL, 4 * PG, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
		CHECK(p != MAP_FAILED);
		EQ(reg(fd, p, 4 * PG, MISSING), 0);
		DONE(copy(fd, p, memset(map(4), i + 1, 4 * PG), 4 * PG, 0), 4 * PG);
		EQ(p[3 * PG], i + 1);
		EQ(fstatfs(top, &fs), 0);
		EQ(fs.f_bfree, room - 4);
		/* By truncation; by the descriptor, then the mapping; the other way round. */
		if (i == 0) {
			EQ(ftruncate(file, 0), 0);
			EQ(fstatfs(top, &fs), 0);
			EQ(fs.f_bfree, room);
		}
		if (i == 1)
			close(file);
		EQ(munmap(p, 4 * PG), 0);
		if (i != 1)
			close(file);
		EQ(fstatfs(top, &fs), 0);
		EQ(fs.f_bfree, room);
		close(fd);
	}
	return 0;
}
