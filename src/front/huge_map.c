/*
 * huge_map.c - mmap and its kin on huge pages.
 *
 * Huge pages cannot be cut: the kernel refuses a border inside of one. Where they are ordinary
 * memory, or managed, it is for us to refuse.
 */
#include "front/huge.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#ifndef HUGETLBFS_MAGIC
#define HUGETLBFS_MAGIC 0x958458f6
#endif
#ifndef MFD_CLOEXEC
#define MFD_CLOEXEC 1u
#define MFD_HUGETLB 4u
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static bool failed(long ret)
{
	return (unsigned long)ret >= -4095ul;
}

static uint64_t round_up(uint64_t n)
{
	return (n + HUGE_SIZE - 1) & HUGE_MASK;
}

/* ---- new mappings ------------------------------------------------------------------------------
 */

static bool range_free(uint64_t addr, uint64_t len)
{
	long at = SYS(SYS_mmap, addr, len, PROT_NONE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	if (failed(at))
		return false;
	if ((uint64_t)at == addr)
		return true;
	SYS(SYS_munmap, at, len); /* a host before Linux 4.17 */
	return false;
}

long huge_reserve(uint64_t hint, uint64_t len)
{
	uint64_t more = len + HUGE_SIZE - UF_PAGE_SIZE, start, end;
	long at;

	hint = round_up(hint);
	if (hint && range_free(hint, len))
		return (long)hint;
	if (more < len)
		return -ENOMEM;
	at = SYS(SYS_mmap, 0, more, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (failed(at))
		return at;
	start = round_up((uint64_t)at);
	end = (uint64_t)at + more;
	if (start > (uint64_t)at)
		SYS(SYS_munmap, at, start - (uint64_t)at);
	if (end > start + len)
		SYS(SYS_munmap, start + len, end - start - len);
	return (long)start;
}

long huge_map_file(uint64_t addr, uint64_t len, int prot, int flags, int fd, uint64_t off)
{
	long at = (long)addr, ret;

	if (!(flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))) {
		at = huge_reserve(addr, len);
		if (failed(at))
			return at;
		flags |= MAP_FIXED;
		ret = mem_mmap_plain((uint64_t)at, len, prot, flags, fd, off);
		if (failed(ret))
			SYS(SYS_munmap, at, len);
	} else {
		if (addr & ~HUGE_MASK)
			return -EINVAL;
		ret = mem_mmap_plain(addr, len, prot, flags, fd, off);
	}
	/* A hint that makes faults cheaper; hosts without it do as well. */
	if (!failed(ret))
		SYS(SYS_madvise, ret, len, MADV_HUGEPAGE);
	return ret;
}

/* What was mapped enters the list, or goes again. */
static long enlist(long at, struct huge_range *r, uint64_t len)
{
	int err;

	if (failed(at))
		return at;
	r->start = (uint64_t)at;
	r->end = r->start + len;
	err = huge_add(r);
	if (err)
		SYS(SYS_munmap, at, len);
	return err ? err : at;
}

#define TYPE_FLAGS (MAP_HUGETLB | (int)HUGE_FLAG_MASK | MAP_ANONYMOUS)

/* A file of `len` bytes for a mapping without one; its descriptor. */
static int make_file(unsigned flags, uint64_t len, struct huge_file *f)
{
	long fd = SYS(SYS_memfd_create, "anon_hugepage", MFD_CLOEXEC | flags), err;
	struct stat st;

	if (fd < 0)
		return (int)fd;
	err = SYS(SYS_ftruncate, fd, len);
	if (!err)
		err = SYS(SYS_fstat, fd, &st);
	if (!err) {
		*f = (struct huge_file){.dev = st.st_dev, .ino = st.st_ino};
		f->emulated = !(flags & MFD_HUGETLB);
		err = huge_file_add(f, (int)fd);
	}
	if (err)
		SYS(SYS_close, fd);
	return err ? (int)err : (int)fd;
}

/* A mapping of a new file in place of one of none. */
static long map_new_file(unsigned file_flags, uint64_t addr, uint64_t len, int prot, int flags)
{
	struct huge_file f;
	struct huge_range r;
	long at;
	int fd = make_file(file_flags, len, &f);

	if (fd < 0)
		return fd;
	r = (struct huge_range){.dev = f.dev, .ino = f.ino, .emulated = f.emulated};
	flags &= ~TYPE_FLAGS;
	if (f.emulated)
		at = huge_map_file(addr, len, prot, flags, fd, 0);
	else
		at = mem_mmap_plain(addr, len, prot, flags, fd, 0);
	at = enlist(at, &r, len);
	if (failed(at))
		huge_file_unmapped(f.dev, f.ino);
	SYS(SYS_close, fd);
	return at;
}

static long map_real(uint64_t addr, uint64_t len, int prot, int flags, uint64_t off)
{
	struct huge_range r = {0};
	long at;

	if ((flags & MAP_TYPE) == MAP_SHARED)
		return map_new_file(MFD_HUGETLB | ((unsigned)flags & HUGE_FLAG_MASK), addr, len,
				    prot, flags);
	at = mem_mmap_plain(addr, len, prot, flags, -1, off);
	return enlist(at, &r, len);
}

/* Without a reservation the host would map what it does not have. */
static bool host_has(uint64_t len, int flags)
{
	if (huge_always_emulated)
		return false;
	return !(flags & MAP_NORESERVE) || huge_available() >= (long)(len >> HUGE_SHIFT);
}

static long map_anonymous(uint64_t addr, size_t len, int prot, int flags, uint64_t off)
{
	uint64_t size = round_up(len);
	long ret = -ENOMEM;

	if (!huge_size_ours((unsigned)flags) || size < len || len == 0)
		return mem_mmap_plain(addr, len, prot, flags, -1, off);
	if (off & ~UF_PAGE_MASK)
		return -EINVAL;
	if (host_has(size, flags))
		ret = map_real(addr, size, prot, flags, off);
	return failed(ret) && huge_wanting(ret) ? map_new_file(0, addr, size, prot, flags) : ret;
}

/* A file with emulated huge pages grows with its mappings, as on hugetlbfs. */
static long map_emulated_file(uint64_t addr, size_t len, int prot, int flags, int fd, uint64_t off,
			      const struct stat *st)
{
	struct huge_range r = {.emulated = true, .dev = st->st_dev, .ino = st->st_ino};
	struct huge_file f = {.dev = r.dev, .ino = r.ino, .emulated = true, .named = true};
	uint64_t size = round_up(len);
	long at;

	if (size < len || len == 0 || (off & ~HUGE_MASK))
		return -EINVAL;
	at = huge_map_file(addr, size, prot, flags & ~TYPE_FLAGS, fd, off);
	if (!failed(at) && (prot & PROT_WRITE) && (uint64_t)st->st_size < off + size)
		SYS(SYS_ftruncate, fd, off + size);
	if (!failed(at))
		huge_file_add(&f, fd);
	return enlist(at, &r, size);
}

/*
 * The host lacks pages for a mapping of this file, which has none yet: one with emulated pages
 * takes its place under this descriptor. 0, or a negative errno.
 */
static int exchange(int fd, struct stat *st)
{
	int flags = (int)SYS(SYS_fcntl, fd, F_GETFD), seals = (int)SYS(SYS_fcntl, fd, F_GET_SEALS);
	bool sealing = seals >= 0 && !(seals & F_SEAL_SEAL);
	struct huge_file f = {.emulated = true, .named = true};
	long new = SYS(SYS_memfd_create, "huge", MFD_CLOEXEC | (sealing ? MFD_ALLOW_SEALING : 0)),
	     err;

	if (new < 0)
		return -ENOMEM;
	err = SYS(SYS_ftruncate, new, st->st_size);
	if (!err && sealing && seals)
		err = SYS(SYS_fcntl, new, F_ADD_SEALS, seals);
	if (!err)
		err = SYS(SYS_fstat, new, st);
	if (!err) {
		f.dev = st->st_dev;
		f.ino = st->st_ino;
		err = huge_file_add(&f, -1);
	}
	if (!err)
		err = SYS(SYS_dup3, new, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0);
	SYS(SYS_close, new);
	return err < 0 ? -ENOMEM : 0;
}

/*
 * A file of the host's huge pages. A descriptor is kept as long as it is mapped: there is no other
 * way to map it a second time, which filling it takes.
 */
static long map_real_file(uint64_t addr, size_t len, int prot, int flags, int fd, uint64_t off,
			  struct stat *st)
{
	struct huge_range r = {.dev = st->st_dev, .ino = st->st_ino};
	struct huge_file f = {.dev = st->st_dev, .ino = st->st_ino, .named = true};
	bool empty = st->st_blocks == 0 && !huge_file_mapped(st->st_dev, st->st_ino);
	long at = -ENOMEM;

	if (!empty || host_has(round_up(len), flags))
		at = mem_mmap_plain(addr, len, prot, flags, fd, off);
	if (at == -ENOMEM && empty && exchange(fd, st) == 0)
		return map_emulated_file(addr, len, prot, flags, fd, off, st);
	if (failed(at))
		return at;
	huge_file_add(&f, fd);
	return enlist(at, &r, round_up(len));
}

static bool on_hugetlbfs(int fd)
{
	struct statfs fs;

	return SYS(SYS_fstatfs, fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC &&
	       fs.f_bsize == (long)HUGE_SIZE;
}

static bool map_file(uint64_t addr, size_t len, int prot, int flags, int fd, uint64_t off,
		     long *ret)
{
	struct stat st;

	if (!huge_in_use() || fd < 0 || SYS(SYS_fstat, fd, &st) != 0)
		return false;
	if (huge_emulates(st.st_dev, st.st_ino))
		*ret = map_emulated_file(addr, len, prot, flags, fd, off, &st);
	else if (on_hugetlbfs(fd))
		*ret = map_real_file(addr, len, prot, flags, fd, off, &st);
	else
		return false;
	return true;
}

bool huge_mmap(uint64_t addr, size_t len, int prot, int flags, int fd, uint64_t off, long *ret)
{
	uint64_t size = (len + UF_PAGE_SIZE - 1) & UF_PAGE_MASK;

	if ((flags & MAP_FIXED) && huge_in_use()) {
		*ret = huge_unmap(addr, size);
		if (*ret)
			return true;
	}
	if (!(flags & MAP_ANONYMOUS))
		return map_file(addr, len, prot, flags, fd, off, ret);
	if (flags & MAP_HUGETLB)
		*ret = map_anonymous(addr, len, prot, flags, off);
	return flags & MAP_HUGETLB;
}

/* ---- changes -----------------------------------------------------------------------------------
 */

int huge_unmap(uint64_t addr, uint64_t len)
{
	if (huge_cuts(addr, addr + len))
		return -EINVAL;
	huge_remove(addr, addr + len);
	return 0;
}

int huge_mprotect(uint64_t addr, uint64_t len)
{
	return huge_cuts(addr, addr + len) ? -EINVAL : 0;
}

/* Widen [*addr, *addr + *len) to whole huge pages, or narrow it, where its borders are in some. */
static void fit(uint64_t *addr, uint64_t *len, bool widen)
{
	uint64_t start = *addr, end = *addr + *len;
	struct huge_range r;

	if ((start & ~HUGE_MASK) && huge_find(start, &r))
		start = widen ? start & HUGE_MASK : round_up(start);
	if ((end & ~HUGE_MASK) && huge_find(end, &r))
		end = widen ? round_up(end) : end & HUGE_MASK;
	*addr = start;
	*len = start < end ? end - start : 0;
}

int huge_madvise(uint64_t *addr, uint64_t *len, int advice)
{
	struct huge_range r;

	if (!huge_find_next(*addr, *addr + *len, &r))
		return 0;
	switch (advice) {
	case MADV_FREE:
	case MADV_COLD:
	case MADV_PAGEOUT:
	case MADV_COLLAPSE:
	case MADV_WIPEONFORK:
		return -EINVAL;
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
		if ((*addr & ~HUGE_MASK) && huge_find(*addr, &r))
			return -EINVAL;
		fit(addr, len, false);
		return *len == 0;
	case MADV_REMOVE:
		fit(addr, len, false);
		return *len == 0;
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
		fit(addr, len, true);
		return 0;
	case MADV_WILLNEED:
		return 0;
	case MADV_MERGEABLE:
	case MADV_UNMERGEABLE:
		return 1;
	}
	return huge_cuts(*addr, *addr + *len) ? -EINVAL : 0;
}

/* What the kernel refuses to do to the huge pages at `old`, lengths in whole ones. */
static int check_remap(uint64_t old, uint64_t from, uint64_t to, int flags, uint64_t new_addr)
{
	if ((flags & MREMAP_DONTUNMAP) || (old & ~HUGE_MASK) || from == 0 || to == 0 || to > from)
		return -EINVAL;
	return (flags & MREMAP_FIXED) && (new_addr & ~HUGE_MASK) ? -EINVAL : 0;
}

bool huge_mremap(uint64_t old, uint64_t old_len, uint64_t new_len, int flags, uint64_t new_addr,
		 long *ret)
{
	uint64_t from = round_up(old_len), to = round_up(new_len);
	bool fixed = flags & MREMAP_FIXED;
	struct huge_range r;

	if (fixed && huge_cuts(new_addr, new_addr + new_len)) {
		*ret = -EINVAL;
		return true;
	}
	if (!huge_find(old, &r)) {
		if (fixed)
			huge_remove(new_addr, new_addr + new_len);
		return false;
	}
	*ret = check_remap(old, from, to, flags, new_addr);
	if (*ret == 0 && old + from > r.end)
		*ret = -EFAULT;
	if (*ret)
		return true;
	*ret = mem_mremap_plain(old, from, to, flags, new_addr);
	if (failed(*ret))
		return true;
	r.start = (uint64_t)*ret;
	r.end = r.start + to;
	/* The new place first: the file must not seem to be mapped nowhere. */
	if (r.start != old)
		huge_add(&r);
	huge_remove(r.start == old ? old + to : old, old + from);
	return true;
}
