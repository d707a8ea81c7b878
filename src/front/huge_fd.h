/*
 * huge_fd.h - files with emulated huge pages.
 */
#ifndef UF_FRONT_HUGE_FD_H
#define UF_FRONT_HUGE_FD_H

#include "front/huge.h"
#include "front/preload.h"

struct stat;
struct statfs;

/* As the system calls of these names. */
long huge_memfd_create(const char *name, unsigned flags);
long huge_fstat(int fd, struct stat *st);
long huge_fstatfs(int fd, struct statfs *fs);
long huge_shmget(int key, size_t size, int flags);
long huge_shmat(int id, uint64_t addr, int flags);
long huge_shmdt(uint64_t addr);

/*
 * /proc/meminfo and what tells of huge pages in /sys, where the host has none left and they are
 * emulated: a descriptor or a negative errno; false: the host's own will do.
 */
bool meminfo_open(const char *path, int flags, long *fd);

#endif
