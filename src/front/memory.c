/*
 * memory.c - mmap and its kin.
 *
 * A range falls into pieces: managed ones are mm's, what lies between is done by the kernel. A call
 * on a range with nothing managed in it goes to the kernel as it is, errors included.
 */
#include "front/front.h"
#include "front/gate.h"
#include "front/huge.h"
#include "front/types.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

static _Atomic int locked_for_future;

/* Is [addr, addr + *len), once rounded up to pages, a range that mm may be asked about? */
static bool round_range(uint64_t addr, uint64_t *len)
{
	uint64_t rounded = (*len + UF_PAGE_SIZE - 1) & UF_PAGE_MASK;

	if ((addr & ~UF_PAGE_MASK) || rounded < *len || rounded == 0 || addr + rounded <= addr ||
	    addr + rounded > mach_task_size())
		return false;
	*len = rounded;
	return true;
}

static bool managed(uint64_t addr, uint64_t len)
{
	struct mach_entry entry;
	bool yes;

	mach_enter(&entry);
	yes = mm_managed(mm_space_self, addr, len);
	mach_leave(&entry);
	return yes;
}

/* All that was ever managed lies between these. */
_Atomic uint64_t mem_lowest = UINT64_MAX, mem_highest;

void mem_note_managed(uint64_t addr, uint64_t len)
{
	uint64_t low = atomic_load(&mem_lowest), high = atomic_load(&mem_highest);

	while (addr < low && !atomic_compare_exchange_weak(&mem_lowest, &low, addr))
		;
	while (addr + len > high && !atomic_compare_exchange_weak(&mem_highest, &high, addr + len))
		;
}

/* Rounds len, and says whether the call concerns mm. */
static bool concerns_mm(uint64_t addr, uint64_t *len)
{
	return front_managing() && round_range(addr, len) && managed(addr, *len);
}

struct piece_call {
	int (*mm)(struct piece_call *c, uint64_t at, uint64_t len);
	int (*host)(struct piece_call *c, uint64_t at, uint64_t len);
	int value;
	const struct mach_entry *entry; /* for mm */
	bool go_on;			/* after ENOMEM from the host: report it at the end */
};

static int each_piece(struct piece_call *c, uint64_t addr, uint64_t len)
{
	uint64_t at = addr, end = addr + len, next;
	struct mach_entry entry;
	int err, late = 0;
	bool mine;

	for (; at < end; at = next) {
		mach_enter(&entry);
		c->entry = &entry;
		mine = mm_piece(mm_space_self, at, end, &next);
		err = mine ? c->mm(c, at, next - at) : 0;
		mach_leave(&entry);
		if (!mine)
			err = c->host(c, at, next - at);
		if (err == -ENOMEM && !mine && c->go_on)
			late = err;
		else if (err)
			return err;
	}
	return late;
}

struct host_call {
	long nr, a[6];
};

static long call_host(void *arg, uint64_t *len)
{
	const struct host_call *c = arg;
	long ret = SYS(c->nr, c->a[0], c->a[1], c->a[2], c->a[3], c->a[4], c->a[5]);

	/* It has grown where it stood. */
	if (c->nr == SYS_mremap && ret == c->a[0])
		*len = 0;
	return ret;
}

/* The kernel puts something new of len bytes somewhere: what we knew of the place is stale. */
static long land(uint64_t len, struct host_call *c)
{
	struct mach_entry entry;
	long ret;

	if (!front_managing() || !round_range(0, &len))
		return call_host(c, &len);
	mach_enter(&entry);
	ret = mm_land(mm_space_self, len, call_host, c);
	mach_leave(&entry);
	return ret;
}

static long land_mremap(uint64_t old, uint64_t old_len, uint64_t new_len, int flags,
			uint64_t new_addr)
{
	struct host_call c = {SYS_mremap,
			      {(long)old, (long)old_len, (long)new_len, flags, (long)new_addr}};

	return land(new_len, &c);
}

long mem_mmap_plain(uint64_t addr, size_t len, int prot, int flags, int fd, uint64_t off)
{
	struct mach_entry entry;
	uint64_t size = len;
	long ret;

	if ((flags & MAP_FIXED) && front_managing() && round_range(addr, &size)) {
		/* What a file cannot be mapped over stays as it is. */
		ret = flags & MAP_ANONYMOUS ? types_discard(addr, size) : 0;
		if (ret)
			return ret;
		mach_enter(&entry);
		ret = mm_mmap_fixed(mm_space_self, addr, size, prot, flags, fd, off, &entry);
		mach_leave(&entry);
		return ret ? ret : (long)addr;
	}
	return land(len, &(struct host_call){SYS_mmap,
					     {(long)addr, (long)len, prot, flags, fd, (long)off}});
}

long mem_mmap(uint64_t addr, size_t len, int prot, int flags, int fd, uint64_t off)
{
	long ret;

	if (((flags & MAP_HUGETLB) || huge_in_use()) &&
	    huge_mmap(addr, len, prot, flags, fd, off, &ret))
		return ret;
	return mem_mmap_plain(addr, len, prot, flags, fd, off);
}

int mem_munmap(uint64_t addr, size_t len)
{
	struct mach_entry entry;
	uint64_t size = len;
	int err;

	if (huge_in_use() && round_range(addr, &size)) {
		err = huge_unmap(addr, size);
		if (err)
			return err;
	}
	/* Whatever is managed now: another thread may be registering just this. */
	if (!front_managing() || !round_range(addr, &size))
		return (int)SYS(SYS_munmap, addr, len);
	err = types_discard(addr, size);
	if (err)
		return err;
	mach_enter(&entry);
	err = mm_munmap(mm_space_self, addr, size, &entry);
	mach_leave(&entry);
	return err;
}

/* The old range is managed, at least in part. */
static long remap_managed(uint64_t old, uint64_t old_len, uint64_t new_len, int flags,
			  uint64_t new_addr)
{
	struct mach_entry entry;
	uint64_t end, result = 0;
	int err = -EFAULT;

	if (new_len < old_len && types_discard(old + new_len, old_len - new_len) != 0)
		return -ENOMEM;
	mach_enter(&entry);
	if (mm_piece(mm_space_self, old, old + old_len, &end) && end == old + old_len)
		err = mm_mremap(mm_space_self, old, old_len, new_len, flags, new_addr, &result,
				&entry);
	mach_leave(&entry);
	if (err)
		return err;
	mem_note_managed(result, new_len);
	return (long)result;
}

bool mem_area_at(uint64_t addr, struct mm_area_info *info)
{
	uint32_t low = 0, high = mm_space_self->nareas, mid;
	struct mach_entry entry;
	bool found = false;

	mach_enter(&entry);
	while (!found && low < high) {
		mid = (low + high) / 2;
		if (mm_area_info(mm_space_self, mid, info) != 0 || info->start > addr)
			high = mid;
		else if (info->end <= addr)
			low = mid + 1;
		else
			found = true;
	}
	mach_leave(&entry);
	return found;
}

/*
 * mremap of nothing maps shared memory a second time. The copy is an ordinary mapping, with the
 * protection that the program gave the first.
 */
static long duplicate(uint64_t old, uint64_t len, int flags, uint64_t new_addr)
{
	struct mm_area_info info;
	long ret;

	if (!mem_area_at(old, &info) || !(info.flags & MM_AREA_SHARED))
		return -EINVAL;
	if ((flags & MREMAP_FIXED) && managed(new_addr, len)) {
		ret = mem_munmap(new_addr, len);
		if (ret)
			return ret;
	}
	ret = land_mremap(old, 0, len, flags, new_addr);
	if ((unsigned long)ret >= -4095ul)
		return ret;
	SYS(SYS_mprotect, ret, len, info.prot);
	return ret;
}

long mem_mremap_plain(uint64_t old, size_t old_len, size_t new_len, int flags, uint64_t new_addr)
{
	uint64_t from = old_len, to = new_len, page = UF_PAGE_SIZE;
	bool fixed = flags & MREMAP_FIXED;
	int err;

	if (!front_managing())
		return SYS(SYS_mremap, old, old_len, new_len, flags, new_addr);
	if (old_len == 0 && concerns_mm(old, &page))
		return round_range(fixed ? new_addr : 0, &to) ? duplicate(old, to, flags, new_addr)
							      : -EINVAL;
	if (round_range(fixed ? new_addr : 0, &to)) {
		if (concerns_mm(old, &from))
			return remap_managed(old, from, to, flags, new_addr);
		if (fixed && (flags & MREMAP_MAYMOVE) && round_range(old, &from) &&
		    (new_addr + to <= old || old + from <= new_addr) && managed(new_addr, to)) {
			err = mem_munmap(new_addr, to);
			if (err)
				return err;
		}
	}
	return land_mremap(old, old_len, new_len, flags, new_addr);
}

long mem_mremap(uint64_t old, size_t old_len, size_t new_len, int flags, uint64_t new_addr)
{
	long ret;

	if (huge_in_use() && huge_mremap(old, old_len, new_len, flags, new_addr, &ret))
		return ret;
	return mem_mremap_plain(old, old_len, new_len, flags, new_addr);
}

static int protect_mm(struct piece_call *c, uint64_t at, uint64_t len)
{
	return mm_mprotect(mm_space_self, at, len, (uint32_t)c->value);
}

static int protect_host(struct piece_call *c, uint64_t at, uint64_t len)
{
	return (int)SYS(SYS_mprotect, at, len, c->value);
}

int mem_mprotect(uint64_t addr, size_t len, int prot)
{
	struct piece_call call = {.mm = protect_mm, .host = protect_host, .value = prot};
	uint64_t size = len;
	int err;

	if (huge_in_use() && round_range(addr, &size)) {
		err = huge_mprotect(addr, size);
		if (err)
			return err;
	}
	if ((prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC)) || !concerns_mm(addr, &size))
		return (int)SYS(SYS_mprotect, addr, len, prot);
	return each_piece(&call, addr, size);
}

static int advise_mm(struct piece_call *c, uint64_t at, uint64_t len)
{
	return mm_madvise(mm_space_self, at, len, c->value, c->entry);
}

static int advise_host(struct piece_call *c, uint64_t at, uint64_t len)
{
	if (c->value == MADV_REMOVE)
		return mem_remove(at, len);
	return (int)SYS(SYS_madvise, at, len, c->value);
}

int mem_madvise(uint64_t addr, size_t len, int advice)
{
	struct piece_call call = {
		.mm = advise_mm, .host = advise_host, .value = advice, .go_on = true};
	uint64_t size = len;
	int err;

	if (huge_in_use() && round_range(addr, &size)) {
		err = huge_madvise(&addr, &size, advice);
		if (err)
			return err < 0 ? err : 0;
		len = size;
	}
	if (!concerns_mm(addr, &size)) {
		if (advice == MADV_REMOVE && front_managing() && round_range(addr, &size))
			return mem_remove(addr, size);
		return (int)SYS(SYS_madvise, addr, len, advice);
	}
	err = each_piece(&call, addr, size);
	if (!err && (advice == MADV_DONTNEED || advice == MADV_DONTNEED_LOCKED))
		err = types_discard(addr, size);
	return err;
}

/* Does the pidfd name this process? */
static bool pidfd_is_self(int pidfd)
{
	char path[64], text[1024], *p;
	long fd, n, pid = 0;

	strcpy(path, "/proc/self/fdinfo/");
	p = path + strlen(path);
	if (pidfd < 0)
		return false;
	for (n = 1000000000; n > 1 && pidfd / n == 0; n /= 10)
		;
	for (; n > 0; n /= 10)
		*p++ = (char)('0' + pidfd / n % 10);
	*p = 0;
	fd = SYS(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = SYS(SYS_read, fd, text, sizeof(text) - 1);
	SYS(SYS_close, fd);
	text[n > 0 ? n : 0] = 0;
	p = strstr(text, "\nPid:");
	if (!p)
		return false;
	for (p += 5; *p == '\t' || *p == ' '; p++)
		;
	for (; *p >= '0' && *p <= '9'; p++)
		pid = pid * 10 + (*p - '0');
	return pid == SYS(SYS_getpid);
}

long mem_process_madvise(int pidfd, const struct iovec *iov, size_t n, int advice, unsigned flags)
{
	uint64_t size;
	bool ours = false;
	long done = 0;
	size_t i;
	int err;

	if (front_managing() && flags == 0 && n <= 1024 && pidfd_is_self(pidfd))
		for (i = 0; i < n && !ours; i++) {
			size = iov[i].iov_len;
			ours = concerns_mm((uintptr_t)iov[i].iov_base, &size);
		}
	if (!ours)
		return SYS(SYS_process_madvise, pidfd, iov, n, advice, flags);
	for (i = 0; i < n; i++) {
		err = mem_madvise((uintptr_t)iov[i].iov_base, iov[i].iov_len, advice);
		if (err)
			return done ? done : err;
		done += (long)iov[i].iov_len;
	}
	return done;
}

enum {
	LOCK,
	LOCK_ON_FAULT,
	UNLOCK
};

static int lock_mm(struct piece_call *c, uint64_t at, uint64_t len)
{
	return mm_mlock(mm_space_self, at, len, c->value != UNLOCK, c->value == LOCK_ON_FAULT);
}

static int lock_host(struct piece_call *c, uint64_t at, uint64_t len)
{
	if (c->value == UNLOCK)
		return (int)SYS(SYS_munlock, at, len);
	return (int)SYS(SYS_mlock2, at, len, c->value == LOCK_ON_FAULT ? MLOCK_ONFAULT : 0);
}

static int lock_range(uint64_t addr, size_t len, int how)
{
	struct piece_call call = {.mm = lock_mm, .host = lock_host, .value = how};
	uint64_t start = addr & UF_PAGE_MASK, size = len + (addr - start);

	/* Unlike its kin, mlock rounds the address down. */
	if (size < len || !concerns_mm(start, &size))
		return lock_host(&call, addr, len);
	return each_piece(&call, start, size);
}

int mem_mlock(uint64_t addr, size_t len, bool on_fault)
{
	return lock_range(addr, len, on_fault ? LOCK_ON_FAULT : LOCK);
}

int mem_munlock(uint64_t addr, size_t len)
{
	return lock_range(addr, len, UNLOCK);
}

/*
 * Every mapping but our own: locking those would fill their holes. A mapping that cannot be locked
 * (a device's) is passed over, as the kernel does.
 */
static int lock_all(bool on_fault)
{
	struct mach_entry entry;
	struct mach_vma vma;
	uint64_t at = 0;
	int err;

	for (;;) {
		mach_enter(&entry);
		err = mach_vma_next(at, &vma);
		mach_leave(&entry);
		if (err)
			return 0;
		at = vma.end;
		if (!host_owns(vma.start, vma.end - vma.start) && vma.kind != MACH_VMA_SPECIAL)
			mem_mlock(vma.start, vma.end - vma.start, on_fault);
	}
}

int mem_mlockall(int flags)
{
	int err;

	if (!atomic_load(&front_live)) {
		err = (int)SYS(SYS_mlockall, flags);
		if (err == 0)
			atomic_store(&locked_for_future, flags & MCL_FUTURE);
		return err;
	}
	if (flags == 0 || (flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) ||
	    flags == MCL_ONFAULT)
		return -EINVAL;
	return flags & MCL_CURRENT ? lock_all(flags & MCL_ONFAULT) : 0;
}

int mem_munlockall(void)
{
	struct mm_area_info info;
	struct mach_entry entry;
	uint32_t i;

	atomic_store(&locked_for_future, 0);
	if (front_managing()) {
		mach_enter(&entry);
		for (i = 0; mm_area_info(mm_space_self, i, &info) == 0; i++)
			mm_mlock(mm_space_self, info.start, info.end - info.start, false, false);
		mach_leave(&entry);
	}
	return (int)SYS(SYS_munlockall);
}

void mem_before_start(void)
{
	if (atomic_exchange(&locked_for_future, 0))
		SYS(SYS_mlockall, MCL_CURRENT | MCL_ONFAULT);
}

/* Whatever stands at the place of the attachment goes as for mmap. */
long mem_shmat(int id, uint64_t addr, int flags, uint64_t len)
{
	uint64_t size = len;
	long ret;

	if ((flags & SHM_REMAP) && addr && front_managing() && round_range(addr, &size) &&
	    managed(addr, size)) {
		ret = mem_mmap_plain(addr, size, PROT_NONE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
				     0);
		if ((unsigned long)ret >= -4095ul)
			return ret;
	}
	return land(len, &(struct host_call){SYS_shmat, {id, (long)addr, flags}});
}

void mem_unmapped_behind(uint64_t addr)
{
	uint64_t at = addr, next, gap;
	struct mach_entry entry;
	struct mach_vma vma;

	mach_enter(&entry);
	while (mm_piece(mm_space_self, at, mach_task_size(), &next)) {
		gap = next;
		if (mach_vma_next(at, &vma) == 0 && vma.start < next)
			gap = vma.start;
		if (gap > at)
			mm_forget_range(mm_space_self, at, gap - at);
		if (gap < next)
			break;
		at = next;
	}
	mach_leave(&entry);
}

int mem_brk_down(uint64_t from, uint64_t to)
{
	uint64_t end = (from + UF_PAGE_SIZE - 1) & UF_PAGE_MASK;
	uint64_t start = (to + UF_PAGE_SIZE - 1) & UF_PAGE_MASK;

	long ret;

	if (start >= end || !front_managing() || !managed(start, end - start))
		return 0;
	ret = mem_munmap(start, end - start);
	if (ret)
		return (int)ret;
	/* The kernel takes the break down only over something that it can unmap. */
	ret = SYS(SYS_mmap, start, UF_PAGE_SIZE, PROT_NONE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	return (unsigned long)ret >= -4095ul ? (int)ret : 0;
}

bool mem_near_managed(const void *buf, size_t n)
{
	uint64_t start = (uintptr_t)buf;

	return n && start < mach_task_size() && n <= mach_task_size() - start &&
	       start < atomic_load_explicit(&mem_highest, memory_order_relaxed) &&
	       start + n > atomic_load_explicit(&mem_lowest, memory_order_relaxed);
}

bool mem_open(const void *buf, size_t n, bool write)
{
	struct mach_entry entry;
	uint64_t start = (uintptr_t)buf;
	bool ready;

	if (!mem_near_managed(buf, n))
		return true;
	mach_enter(&entry);
	ready = mm_make_ready(mm_space_self, start, n, write);
	mach_leave(&entry);
	return ready;
}
