/* SPDX-License-Identifier: MIT */
#include "kinds.h"

#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4
#endif
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif
#ifndef TMPFS_MAGIC
#define TMPFS_MAGIC 0x01021994
#endif

#define PROT (PROT_READ | PROT_WRITE)

static const struct {
	unsigned kind;
	const char *name;
	const char *lacking;
} kinds[] = {
	{ANON, "private anonymous memory", NULL},
	{ANON_SHARED, "shared anonymous memory", NULL},
	{MEMFD, "shared memfd", NULL},
	{TMPFS, "shared tmpfs file", "no tmpfs on /dev/shm"},
	{SYSV, "SysV shared memory", "no SysV shared memory"},
	{ZERO_SHARED, "shared /dev/zero", NULL},
	{MEMFD_PRIVATE, "private memfd", NULL},
	{TMPFS_PRIVATE, "private tmpfs file", "no tmpfs on /dev/shm"},
	{HUGE_MEMFD, "shared huge memfd", "no free huge pages"},
	{HUGE_SHARED, "shared MAP_HUGETLB", "no free huge pages"},
	{HUGE_MEMFD_PRIVATE, "private huge memfd", "no free huge pages"},
	{HUGE_PRIVATE, "private MAP_HUGETLB", "no free huge pages"},
	{ZERO_PRIVATE, "private /dev/zero", NULL},
	{FILE_SHARED, "shared regular file", "no file system on a disk"},
	{FILE_PRIVATE, "private regular file", "no file system on a disk"},
	{SECRET, "memfd_secret", "no memfd_secret"},
	{GUEST, "guest_memfd", "no guest_memfd that can be mapped"},
};

/* An aligned stretch with a page on either side, all of it taken, nothing of it accessible. */
static char *room(size_t len, size_t unit)
{
	char *p = mmap(NULL, len + 3 * unit, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		       -1, 0);

	CHECK(p != MAP_FAILED);
	char *start = (char *)(((uintptr_t)p + 2 * unit - 1) & -unit), *end = p + len + 3 * unit;
	munmap(p, start - unit - p);
	munmap(start + len + unit, end - (start + len + unit));
	return start;
}

static void drop_neighbours(char *start, size_t len, size_t unit)
{
	EQ(munmap(start - unit, unit), 0);
	EQ(munmap(start + len, unit), 0);
}

static int unnamed(const char *directory)
{
	char name[64];
	struct statfs fs;

	if (statfs(directory, &fs) || (fs.f_type == TMPFS_MAGIC) != !strcmp(directory, "/dev/shm"))
		return -1;
	snprintf(name, sizeof name, "%s/abi-XXXXXX", directory);
	int file = mkstemp(name);
	if (file >= 0)
		EQ(unlink(name), 0);
	return file;
}

int regular_file(void)
{
	int file = unnamed("/var/tmp");

	if (file < 0)
		file = unnamed("/tmp");
	return file < 0 ? unnamed(".") : file;
}

struct guest_file {
	uint64_t size;
	uint64_t flags;
	uint64_t reserved[6];
};

#define KVM_CREATE_VM	      _IO(0xAE, 0x01)
#define KVM_CREATE_GUEST_FILE _IOWR(0xAE, 0xd4, struct guest_file)

/* Memory of a virtual machine, which can be mapped and is shared with its host. */
static int guest_file(size_t len)
{
	struct guest_file arg = {.size = len, .flags = 3};
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), file = -1;

	if (kvm < 0)
		return -1;
	int machine = ioctl(kvm, KVM_CREATE_VM, 0);
	if (machine >= 0) {
		file = ioctl(machine, KVM_CREATE_GUEST_FILE, &arg);
		close(machine);
	}
	close(kvm);
	return file;
}

static int open_file(unsigned kind)
{
	switch (kind) {
	case MEMFD:
	case MEMFD_PRIVATE:
		return memfd_create("abi", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	case HUGE_MEMFD:
	case HUGE_MEMFD_PRIVATE:
		return memfd_create("abi", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
	case TMPFS:
	case TMPFS_PRIVATE:
		return unnamed("/dev/shm");
	case FILE_SHARED:
	case FILE_PRIVATE:
		return regular_file();
	case SECRET:
		return syscall(SYS_memfd_secret, O_CLOEXEC);
	}
	return -1;
}

static bool map_sysv(struct memory *m)
{
	int id = shmget(IPC_PRIVATE, m->len, IPC_CREAT | 0600);

	CHECK(id >= 0 || errno == ENOSYS);
	if (id < 0)
		return false;
	char *p = shmat(id, m->p, SHM_REMAP);
	m->view = shmat(id, NULL, 0);
	EQ(shmctl(id, IPC_RMID, NULL), 0);
	return p == m->p && m->view != (void *)-1;
}

static bool map_unnamed(struct memory *m)
{
	int flags = MAP_FIXED, file = -1;

	flags |= m->kind & (SHARED | ZERO_SHARED) ? MAP_SHARED : MAP_PRIVATE;
	if (m->kind & (ZERO_SHARED | ZERO_PRIVATE)) {
		file = open("/dev/zero", O_RDWR | O_CLOEXEC);
		CHECK(file >= 0);
	} else {
		flags |= MAP_ANONYMOUS;
	}
	if (m->unit == HUGE_PG)
		flags |= MAP_HUGETLB;
	if (mmap(m->p, m->len, PROT, flags, file, 0) != m->p)
		return false;
	if (file >= 0)
		close(file);
	if (m->kind & (ANON_SHARED | ZERO_SHARED))
		m->view = mremap(m->p, 0, m->len, MREMAP_MAYMOVE);
	return m->view != MAP_FAILED;
}

static bool map_file(struct memory *m)
{
	int flags = m->kind & SHARED ? MAP_SHARED : MAP_PRIVATE;

	m->file = m->kind == GUEST ? guest_file(m->len) : open_file(m->kind);
	if (m->file < 0)
		return false;
	if (m->kind != GUEST)
		EQ(ftruncate(m->file, m->len), 0);
	m->view = mmap(NULL, m->len, PROT, MAP_SHARED, m->file, 0);
	return m->view != MAP_FAILED &&
	       mmap(m->p, m->len, PROT, flags | MAP_FIXED, m->file, 0) == m->p;
}

bool memory_map(struct memory *m, unsigned kind, size_t units)
{
	bool done;

	m->kind = kind;
	m->unit = kind & HUGE ? HUGE_PG : PG;
	m->len = units * m->unit;
	m->p = room(m->len, m->unit);
	m->view = NULL;
	m->file = -1;
	if (kind == SYSV)
		done = map_sysv(m);
	else if (kind & (WITH_FD | REGULAR | SECRET | GUEST))
		done = map_file(m);
	else
		done = map_unnamed(m);
	drop_neighbours(m->p, m->len, m->unit);
	if (!done) {
		memory_unmap(m);
		return false;
	}
	/* Huge pages would make neighbours of a touched page present too. */
	if (m->unit == PG) {
		madvise(m->p, m->len, MADV_NOHUGEPAGE);
		if (m->view)
			madvise(m->view, m->len, MADV_NOHUGEPAGE);
	}
	return true;
}

void memory_unmap(struct memory *m)
{
	if (m->p)
		munmap(m->p, m->len);
	if (m->view && m->view != MAP_FAILED)
		munmap(m->view, m->len);
	if (m->file >= 0)
		close(m->file);
}

char *memory_place(const struct memory *m)
{
	char *start = room(m->len, m->unit);

	drop_neighbours(start, m->len, m->unit);
	return start;
}

static size_t number(unsigned kind)
{
	size_t i = 0;

	while (kinds[i].kind != kind)
		i++;
	return i;
}

/* Huge pages can be emulated; the other kinds are the host's to give. */
static _Noreturn void lacks(unsigned kinds_lacked, const char *why)
{
	if (kinds_lacked & HUGE)
		skip(why);
	skip_host(why);
}

struct memory memory_of(unsigned kind, size_t units)
{
	struct memory m;

	if (!memory_map(&m, kind, units))
		lacks(kind, kinds[number(kind)].lacking);
	about = kinds[number(kind)].name;
	return m;
}

void need_spare(unsigned kind, size_t units)
{
	struct memory spare = memory_of(kind, units);

	memory_unmap(&spare);
}

/* ABI_HUGE=none leaves huge pages out, ABI_HUGE=only all else: a machine may have none. */
static unsigned asked_for(unsigned set)
{
	const char *huge = getenv("ABI_HUGE");

	if (huge)
		set &= strcmp(huge, "only") == 0 ? HUGE : ~HUGE;
	CHECK(set);
	return set;
}

int each(unsigned set, size_t units, void (*check)(struct memory *m))
{
	struct memory m;
	const char *lacking = NULL;
	unsigned lacked = 0;

	set = asked_for(set);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if (!(kinds[i].kind & set))
			continue;
		about = kinds[i].name;
		if (memory_map(&m, kinds[i].kind, units)) {
			check(&m);
			memory_unmap(&m);
		} else {
			CHECK(kinds[i].lacking);
			lacking = kinds[i].lacking;
			lacked |= kinds[i].kind;
		}
	}
	if (lacked)
		lacks(lacked, lacking);
	return 0;
}

char *source(const struct memory *m, size_t units, int byte)
{
	static _Alignas(4096) char pages[4 * HUGE_PG];

	CHECK(units * m->unit <= sizeof pages);
	return memset(pages, byte, units * m->unit);
}

bool cached(const struct memory *m, size_t index)
{
	unsigned char there;
	struct stat before, after;

	if (m->unit == PG) {
		EQ(mincore(m->view + index * PG, PG, &there), 0);
		return there & 1;
	}
	/* mincore knows only what is mapped there, and there is no SEEK_DATA: see whether it grows.
	 */
	EQ(fstat(m->file, &before), 0);
	(void)*(volatile char *)(m->view + index * m->unit);
	EQ(fstat(m->file, &after), 0);
	if (before.st_blocks == after.st_blocks)
		return true;
	EQ(fallocate(m->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, index * m->unit, m->unit),
	   0);
	return false;
}

bool file_is(const struct memory *m, size_t index, int byte)
{
	static char buffer[HUGE_PG];

	if (m->file >= 0) {
		EQ(pread(m->file, buffer, m->unit, index * m->unit), m->unit);
		if (!all(buffer, m->unit, byte))
			return false;
	}
	return all(m->view + index * m->unit, m->unit, byte);
}

void file_set(const struct memory *m, size_t index, int byte)
{
	memset(m->view + index * m->unit, byte, m->unit);
}

uint64_t ioctls_of(const struct memory *m, uint64_t modes)
{
	uint64_t features = uffd_features(), bits = 1 << _UFFDIO_WAKE | 1 << _UFFDIO_COPY;

	if (m->unit == PG)
		bits |= 1 << _UFFDIO_ZEROPAGE;
	if (features & UFFD_FEATURE_POISON)
		bits |= 1 << _UFFDIO_POISON;
	if (m->unit == PG && features & UFFD_FEATURE_MOVE)
		bits |= 1 << _UFFDIO_MOVE;
	if (modes & WP)
		bits |= 1 << _UFFDIO_WRITEPROTECT;
	if (modes & MINOR)
		bits |= 1 << _UFFDIO_CONTINUE;
	return bits;
}

uint64_t state(const char *page)
{
	return pagemap(page) & (PM_PRESENT | PM_SWAP | PM_FILE | PM_UFFD_WP);
}
