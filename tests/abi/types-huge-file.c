/* SPDX-License-Identifier: MIT */
/* A file of huge pages: how programs tell it from others. */
#include "kinds.h"

#include <sys/stat.h>
#include <sys/vfs.h>

#ifndef HUGETLBFS_MAGIC
#define HUGETLBFS_MAGIC 0x958458f6
#endif

int main(void)
{
	struct stat st;
	struct statfs fs;
	char byte;

	start();
	struct memory m = memory_of(HUGE_MEMFD, 2);
	EQ(fstatfs(m.file, &fs), 0);
	EQ(fs.f_type, HUGETLBFS_MAGIC);
	EQ(fs.f_bsize, HUGE_PG);
	EQ(fstat(m.file, &st), 0);
	EQ(st.st_blksize, HUGE_PG);
	EQ(st.st_size, 2 * HUGE_PG);
	EQ(st.st_blocks, 0);
	m.view[HUGE_PG] = 1;
	EQ(fstat(m.file, &st), 0);
	EQ(st.st_blocks, HUGE_PG / 512);
	ERR(ftruncate(m.file, HUGE_PG + PG), EINVAL);
	ERR(pwrite(m.file, "x", 1, 0), EINVAL);
	EQ(pread(m.file, &byte, 1, HUGE_PG), 1);
	EQ(byte, 1);
	CHECK(mmap(NULL, HUGE_PG, PROT_READ, MAP_SHARED, m.file, PG) == MAP_FAILED);
	EQ(errno, EINVAL);
	return 0;
}
