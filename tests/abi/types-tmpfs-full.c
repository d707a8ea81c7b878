/* SPDX-License-Identifier: MIT */
/* A tmpfs that is full: COPY says so, an access gets SIGBUS, and what is there stays. */
#include "kinds.h"

#include <sys/mount.h>

int main(void)
{
	struct thread t;
	char directory[] = "/tmp/abi-full-XXXXXX", path[64];

	start();
	need_features(UFFD_FEATURE_MISSING_SHMEM);
	CHECK(mkdtemp(directory));
	snprintf(path, sizeof path, "%s/file", directory);
	if (mount("abi", directory, "tmpfs", 0, "size=16k")) {
		rmdir(directory);
		skip_host("no permission to mount a tmpfs");
	}
	int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	EQ(umount2(directory, MNT_DETACH), 0);
	EQ(rmdir(directory), 0);
	CHECK(file >= 0);
	EQ(ftruncate(file, 8 * PG), 0);
	int fd = uffd_open(0);
	char *p = mmap(NULL, 8 * PG, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	CHECK(p != MAP_FAILED);
	struct memory m = {.kind = TMPFS, .unit = PG, .len = 8 * PG, .p = p};
	REGISTERS(fd, &m, MISSING);
	/* Room for four pages. */
	PARTLY(copy(fd, p, memset(map(6), 3, 6 * PG), 6 * PG, 0), 4 * PG);
	FAILS(copy(fd, p + 4 * PG, source(&m, 1, 4), PG, 0), ENOMEM);
	FAILS(zeropage(fd, p + 4 * PG, PG, 0), ENOMEM);
	reader(&t, p + 5 * PG);
	FAULT(fd, p + 5 * PG, 0);
	FAILS(copy(fd, p + 5 * PG, source(&m, 1, 5), PG, 0), ENOMEM);
	CHECK(blocked(&t));
	EQ(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PG), 0);
	DONE(copy(fd, p + 5 * PG, source(&m, 1, 5), PG, 0), PG);
	join(&t);
	EQ(t.byte, 5);
	CHECK(all(p + PG, 3 * PG, 3));

	/* Without a handler there is nobody to ask for more room. */
	EQ(unreg(fd, p, 8 * PG), 0);
	EQ(try_write(p + 6 * PG, 1, NULL), SIGBUS);
	EQ(try_read(p, NULL), SIGBUS);
	CHECK(all(p + PG, 3 * PG, 3));
	CHECK(all(p + 5 * PG, PG, 5));
	CHECK(quiet(fd));
	return 0;
}
