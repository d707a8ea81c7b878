/*
 * sysv.c - shmget, shmat, shmdt: SysV segments of huge pages, and attachments that are managed.
 */
#include "front/huge_fd.h"

#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>

#ifndef SHM_HUGETLB
#define SHM_HUGETLB 04000
#endif
#ifndef MADV_COLD
#define MADV_COLD 20
#endif

static bool failed(long ret)
{
	return (unsigned long)ret >= -4095ul;
}

/* Segments and memfds are files of one device. A segment's inode has the number of its id. */
static uint64_t device(void)
{
	static _Atomic uint64_t known;
	uint64_t dev = atomic_load(&known);
	struct stat st;
	long fd;

	if (dev)
		return dev;
	fd = SYS(SYS_memfd_create, "", MFD_CLOEXEC);
	if (fd >= 0 && SYS(SYS_fstat, fd, &st) == 0)
		dev = st.st_dev | HOST_DEV_SYSV;
	if (fd >= 0)
		SYS(SYS_close, fd);
	atomic_store(&known, dev);
	return dev;
}

static uint64_t size_of(int id)
{
	struct shmid_ds ds;

	return SYS(SYS_shmctl, id, IPC_STAT, &ds) == 0 ? ds.shm_segsz : 0;
}

/* The segment that was found may be of another process's emulation. The host calls no huge page
 * cold.
 */
static bool has_real(int id)
{
	long at = SYS(SYS_shmat, id, 0, SHM_RDONLY);
	bool real;

	if (failed(at))
		return true;
	real = SYS(SYS_madvise, at, UF_PAGE_SIZE, MADV_COLD) == -EINVAL;
	SYS(SYS_shmdt, at);
	return real;
}

static long note(int id)
{
	struct huge_file f = {
		.dev = device(), .ino = (uint64_t)id, .emulated = true, .named = true};

	return huge_file_add(&f, -1);
}

long huge_shmget(int key, size_t size, int flags)
{
	uint64_t rounded = (size + HUGE_SIZE - 1) & HUGE_MASK;
	long id = -ENOMEM, err;

	if (!(flags & SHM_HUGETLB) || !huge_size_ours((unsigned)flags) || rounded < size)
		return SYS(SYS_shmget, key, size, flags);
	if (!huge_always_emulated)
		id = SYS(SYS_shmget, key, size, flags);
	if (id >= 0 && (has_real((int)id) || (size_of((int)id) & ~HUGE_MASK)))
		return id;
	if (id < 0 && !huge_wanting(id))
		return id;
	if (id < 0)
		id = SYS(SYS_shmget, key, rounded,
			 (unsigned)flags & ~(SHM_HUGETLB | HUGE_FLAG_MASK));
	if (id < 0)
		return id;
	err = note((int)id);
	return err ? err : id;
}

static long attach_huge(int id, uint64_t addr, int flags)
{
	struct huge_range r = {.dev = device(), .ino = (uint64_t)id, .emulated = true};
	uint64_t len = (size_of(id) + HUGE_SIZE - 1) & HUGE_MASK;
	long at = (long)addr;
	int err;

	if (!addr) {
		at = huge_reserve(0, len);
		if (failed(at))
			return at;
		flags |= SHM_REMAP;
	} else if (addr & ~HUGE_MASK) {
		return -EINVAL;
	}
	r.start = (uint64_t)at;
	r.end = r.start + len;
	at = mem_shmat(id, r.start, flags, len);
	if (failed(at)) {
		if (!addr)
			SYS(SYS_munmap, r.start, len);
		return at;
	}
	SYS(SYS_madvise, at, len, MADV_HUGEPAGE);
	err = huge_add(&r);
	if (err)
		SYS(SYS_shmdt, at);
	return err ? err : at;
}

long huge_shmat(int id, uint64_t addr, int flags)
{
	if (likely(!front_managing() && !huge_in_use()))
		return SYS(SYS_shmat, id, addr, flags);
	if (flags & SHM_RND)
		addr &= UF_PAGE_MASK;
	if (huge_in_use() && huge_emulates(device(), (uint64_t)id))
		return attach_huge(id, addr, flags);
	return mem_shmat(id, addr, flags, size_of(id));
}

long huge_shmdt(uint64_t addr)
{
	struct huge_range r;
	long ret;

	if (huge_in_use() && huge_find(addr, &r) && r.start == addr)
		huge_remove(r.start, r.end);
	ret = SYS(SYS_shmdt, addr);
	if (ret == 0 && front_managing())
		mem_unmapped_behind(addr);
	return ret;
}

EXPORT int shmget(key_t key, size_t size, int flags)
{
	return (int)sys_errno(huge_shmget(key, size, flags));
}

EXPORT void *shmat(int id, const void *addr, int flags)
{
	return (void *)sys_errno(huge_shmat(id, (uintptr_t)addr, flags));
}

EXPORT int shmdt(const void *addr)
{
	return (int)sys_errno(huge_shmdt((uintptr_t)addr));
}
