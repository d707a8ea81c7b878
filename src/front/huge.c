/*
 * huge.c - which of the program's mappings and files have huge pages, and how many the host has.
 *
 * A mapping enters the list when it is there, and leaves it before it goes, so that no other thread
 * finds what is in the list to be something else.
 */
#include "front/huge.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MAX_RANGES 8192u
#define MAX_FILES  4096u

_Atomic bool huge_used;
bool huge_always_emulated;

static struct mach_lock lock;
/* Sorted by address, disjoint. */
static struct huge_range ranges[MAX_RANGES];
static unsigned nranges;
static struct huge_file files[MAX_FILES];
static unsigned nfiles;
static _Atomic uint64_t emulated; /* pages in ranges */

static void enter(struct mach_entry *entry)
{
	mach_enter(entry);
	mach_lock(&lock);
}

static void leave(struct mach_entry *entry)
{
	mach_unlock(&lock);
	mach_leave(entry);
}

/* ---- files -------------------------------------------------------------------------------------
 */

/* nfiles: it is not in the list. The lock is held, as in all that follows up to huge_file_add. */
static unsigned file_index(uint64_t dev, uint64_t ino)
{
	unsigned i;

	for (i = 0; i < nfiles; i++)
		if (files[i].ino == ino && files[i].dev == dev)
			break;
	return i;
}

static bool file_mapped(uint64_t dev, uint64_t ino)
{
	unsigned i;

	for (i = 0; i < nranges; i++)
		if (ranges[i].ino == ino && ranges[i].dev == dev)
			return true;
	return false;
}

static void file_remove(unsigned i)
{
	if (files[i].emulated)
		host_forget_huge(files[i].dev, files[i].ino);
	host_forget_file(files[i].dev, files[i].ino);
	files[i] = files[--nfiles];
}

static void mark_open(const char *name, bool *open)
{
	struct stat st;
	unsigned i;
	long fd = 0;

	for (; *name >= '0' && *name <= '9'; name++)
		fd = fd * 10 + (*name - '0');
	if (*name || SYS(SYS_fstat, fd, &st) != 0)
		return;
	i = file_index(st.st_dev, st.st_ino);
	if (i < nfiles)
		open[i] = true;
}

/* The program closes files without our knowledge; so we look when there is no room for more. */
static void forget_closed_files(void)
{
	static bool open[MAX_FILES];
	char buf[2048] __attribute__((aligned(8)));
	long dir = SYS(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long len, at;
	unsigned i;

	if (dir < 0)
		return;
	memset(open, 0, sizeof(open));
	while ((len = SYS(SYS_getdents64, dir, buf, sizeof(buf))) > 0)
		for (at = 0; at < len; at += ((struct dirent64 *)(buf + at))->d_reclen)
			mark_open(((struct dirent64 *)(buf + at))->d_name, open);
	SYS(SYS_close, dir);
	for (i = nfiles; i-- > 0;)
		if (!open[i] && !file_mapped(files[i].dev, files[i].ino))
			file_remove(i);
}

static int file_insert(const struct huge_file *f)
{
	int err = 0;

	if (nfiles == MAX_FILES)
		forget_closed_files();
	if (nfiles == MAX_FILES)
		return -ENOMEM;
	if (f->emulated)
		err = host_note_huge(f->dev, f->ino);
	if (!err)
		files[nfiles++] = *f;
	return err;
}

int huge_file_add(const struct huge_file *f, int fd)
{
	struct mach_entry entry;
	int err = 0;

	enter(&entry);
	if (file_index(f->dev, f->ino) == nfiles)
		err = file_insert(f);
	if (!err && fd >= 0) {
		/* The program must not close what is kept. */
		atomic_store(&files_used, true);
		err = host_note_file(fd);
	}
	leave(&entry);
	if (!err)
		atomic_store(&huge_used, true);
	return err;
}

bool huge_file_find(uint64_t dev, uint64_t ino, struct huge_file *f)
{
	struct mach_entry entry;
	unsigned i;
	bool found;

	enter(&entry);
	i = file_index(dev, ino);
	found = i < nfiles;
	if (found)
		*f = files[i];
	leave(&entry);
	return found;
}

bool huge_file_mapped(uint64_t dev, uint64_t ino)
{
	struct mach_entry entry;
	bool mapped;

	enter(&entry);
	mapped = file_mapped(dev, ino);
	leave(&entry);
	return mapped;
}

bool huge_emulates(uint64_t dev, uint64_t ino)
{
	struct huge_file f;

	return huge_file_find(dev, ino, &f) && f.emulated;
}

bool huge_file_slow(int fd)
{
	struct stat st;

	return fd >= 0 && SYS(SYS_fstat, fd, &st) == 0 && huge_emulates(st.st_dev, st.st_ino);
}

void huge_started(void)
{
	mm_stat_peak(mm_space_self->stats, MM_STAT_HUGE_EMULATED, huge_emulated_pages());
}

void huge_child(void)
{
	lock = (struct mach_lock){0};
}

/* ---- mappings ----------------------------------------------------------------------------------
 */

/* The first range that ends above addr. The lock is held. */
static unsigned range_index(uint64_t addr)
{
	unsigned low = 0, high = nranges, mid;

	while (low < high) {
		mid = (low + high) / 2;
		if (ranges[mid].end > addr)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static void insert(unsigned at, const struct huge_range *r)
{
	memmove(ranges + at + 1, ranges + at, (nranges - at) * sizeof(ranges[0]));
	ranges[at] = *r;
	nranges++;
}

static void delete (unsigned at)
{
	nranges--;
	memmove(ranges + at, ranges + at + 1, (nranges - at) * sizeof(ranges[0]));
}

static void count(const struct huge_range *r, uint64_t bytes, bool more)
{
	uint64_t n = bytes >> HUGE_SHIFT, now;

	if (!r->emulated)
		return;
	now = atomic_fetch_add(&emulated, more ? n : -n) + n;
	if (more && atomic_load(&front_live))
		mm_stat_peak(mm_space_self->stats, MM_STAT_HUGE_EMULATED, now);
}

uint64_t huge_emulated_pages(void)
{
	return atomic_load(&emulated);
}

int huge_add(const struct huge_range *r)
{
	struct mach_entry entry;
	int err = -ENOMEM;

	huge_remove(r->start, r->end);
	enter(&entry);
	if (nranges < MAX_RANGES) {
		insert(range_index(r->start), r);
		count(r, r->end - r->start, true);
		err = 0;
	}
	leave(&entry);
	if (!err)
		atomic_store(&huge_used, true);
	return err;
}

/* Nothing maps the file, or nothing any more: what was kept for that goes. The lock is held. */
static void unmapped(uint64_t dev, uint64_t ino)
{
	unsigned i = ino && !file_mapped(dev, ino) ? file_index(dev, ino) : nfiles;

	if (i == nfiles)
		return;
	if (files[i].named && files[i].emulated)
		host_forget_file(dev, ino);
	else
		file_remove(i);
}

void huge_file_unmapped(uint64_t dev, uint64_t ino)
{
	struct mach_entry entry;

	enter(&entry);
	unmapped(dev, ino);
	leave(&entry);
}

void huge_remove(uint64_t start, uint64_t end)
{
	struct mach_entry entry;
	struct huge_range *r, was;
	unsigned i;

	enter(&entry);
	i = range_index(start);
	while (i < nranges && ranges[i].start < end) {
		r = &ranges[i];
		was = *r;
		if (was.start < start && was.end > end && nranges < MAX_RANGES) {
			r->end = start;
			was.start = end;
			insert(i + 1, &was);
			count(&was, end - start, false);
			break;
		}
		if (was.start < start) {
			r->end = start;
			count(&was, was.end - start, false);
			i++;
		} else if (was.end > end) {
			r->start = end;
			count(&was, end - was.start, false);
		} else {
			delete (i);
			count(&was, was.end - was.start, false);
			unmapped(was.dev, was.ino);
		}
	}
	leave(&entry);
}

bool huge_find_next(uint64_t start, uint64_t end, struct huge_range *r)
{
	struct mach_entry entry;
	unsigned i;
	bool found;

	enter(&entry);
	i = range_index(start);
	found = i < nranges && ranges[i].start < end;
	if (found)
		*r = ranges[i];
	leave(&entry);
	return found;
}

bool huge_find(uint64_t addr, struct huge_range *r)
{
	return huge_find_next(addr, addr + 1, r);
}

bool huge_cuts(uint64_t start, uint64_t end)
{
	struct huge_range r;

	return ((start & ~HUGE_MASK) && huge_find(start, &r)) ||
	       ((end & ~HUGE_MASK) && huge_find(end, &r));
}

void huge_learn(uint64_t start, uint64_t end)
{
	struct mach_entry entry;
	struct huge_range r;
	struct mach_vma vma;
	int err;

	while (start < end) {
		mach_enter(&entry);
		err = mach_vma_next(start, &vma);
		mach_leave(&entry);
		if (err || vma.start >= end)
			return;
		start = vma.end;
		if (vma.kind == MACH_VMA_HUGETLB && !huge_find(vma.start, &r))
			huge_add(&(struct huge_range){.start = vma.start, .end = vma.end});
	}
}

/* The copies that one mapping of the file has. */
static void drop_copies(const struct mach_vma *vma, uint64_t first, uint64_t end)
{
	uint64_t from = vma->file_page, to = from + (vma->end - vma->start) / UF_PAGE_SIZE;

	from = first > from ? first : from;
	to = end < to ? end : to;
	if (from < to)
		SYS(SYS_madvise, vma->start + (from - vma->file_page) * UF_PAGE_SIZE,
		    (to - from) * UF_PAGE_SIZE, MADV_DONTNEED);
}

void huge_drop_copies(uint64_t dev, uint64_t ino, uint64_t first, uint64_t end)
{
	struct mach_entry entry;
	struct huge_range r;
	struct mach_vma vma;
	uint64_t at = 0;
	int err;

	while (huge_find_next(at, UINT64_MAX, &r)) {
		at = at < r.start ? r.start : at;
		if (r.dev != dev || r.ino != ino) {
			at = r.end;
			continue;
		}
		mach_enter(&entry);
		err = mach_vma_next(at, &vma);
		mach_leave(&entry);
		if (err)
			return;
		at = vma.end;
		if (!vma.shared && vma.dev == dev && vma.ino == ino)
			drop_copies(&vma, first, end);
	}
}

/* ---- what the host has -------------------------------------------------------------------------
 */

#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/"

static long pool_number(const char *path)
{
	char text[32];
	long fd = SYS(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC), n, value = 0, i;

	if (fd < 0)
		return -1;
	n = SYS(SYS_read, fd, text, sizeof(text));
	SYS(SYS_close, fd);
	for (i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++)
		value = value * 10 + (text[i] - '0');
	return value;
}

long huge_available(void)
{
	long most = pool_number(POOL "nr_overcommit_hugepages");
	long over = most - pool_number(POOL "surplus_hugepages");
	long pool = pool_number(POOL "free_hugepages");

	if (pool < 0)
		return -1;
	pool -= pool_number(POOL "resv_hugepages");
	return (pool > 0 ? pool : 0) + (over > 0 ? over : 0);
}

bool huge_size_ours(unsigned flags)
{
	unsigned shift = flags >> HUGE_FLAG_SHIFT & 63;

	return shift == 0 || shift == HUGE_SHIFT;
}

bool huge_wanting(long err)
{
	switch (err) {
	case -ENOMEM:
		return true;
	case -EINVAL:
	case -ENOSYS:
	case -ENODEV:
	case -EPERM:
		return huge_available() <= 0;
	}
	return false;
}
