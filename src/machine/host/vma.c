/* vma.c - what the host has mapped, one mapping at a time. */
#include <linux/fs.h>
#include <sys/statfs.h>

#include "machine/host/internal.h"

#ifndef PROCMAP_QUERY
struct procmap_query {
	uint64_t size, query_flags, query_addr;
	uint64_t vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
	uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
	uint64_t vma_name_addr, build_id_addr;
};
#define PROCMAP_QUERY			   _IOWR('f', 17, struct procmap_query)
#define PROCMAP_QUERY_VMA_READABLE	   0x01
#define PROCMAP_QUERY_VMA_WRITABLE	   0x02
#define PROCMAP_QUERY_VMA_EXECUTABLE	   0x04
#define PROCMAP_QUERY_VMA_SHARED	   0x08
#define PROCMAP_QUERY_COVERING_OR_NEXT_VMA 0x10
#endif

#define TMPFS_MAGIC_NUMBER     0x01021994
#define HUGETLBFS_MAGIC_NUMBER 0x958458f6

/* Descriptor of /proc/self/maps plus 1; 0: not opened yet; negative: cannot be. */
static _Atomic int maps;
static _Atomic bool no_query;
static struct mach_lock parse_lock;

void vma_after_fork(void)
{
	atomic_store(&maps, 0);
	atomic_store(&parse_lock.word, 0);
}

static int maps_fd(void)
{
	int fd = atomic_load(&maps), none = 0;

	if (fd != 0)
		return fd < 0 ? fd : fd - 1;
	fd = host_hide_fd(sys_open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
	if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM)
		return fd;
	if (!atomic_compare_exchange_strong(&maps, &none, fd < 0 ? fd : fd + 1)) {
		host_close_hidden(fd);
		return maps_fd();
	}
	return fd;
}

static long magic_of(const char *path)
{
	struct statfs fs;

	if (sys3(SYS_statfs, (long)path, (long)&fs, 0) != 0)
		return 0;
	return (long)fs.f_type;
}

uint64_t vma_device(const struct vma_raw *r)
{
	uint64_t dev = (uint64_t)(r->major & 0xfff) << 8 | (uint64_t)(r->major & ~0xfffu) << 32 |
		       (r->minor & 0xff) | (uint64_t)(r->minor & ~0xffu) << 12;

	return host_begins(r->name, "/SYSV") ? dev | HOST_DEV_SYSV : dev;
}

static bool same_device(const struct vma_raw *r, const char *path)
{
	struct stat st;

	if (sys4(SYS_newfstatat, AT_FDCWD, (long)path, (long)&st, 0) != 0)
		return false;
	return st.st_dev == vma_device(r);
}

/* A memory file of ours tells which device all unnamed shared memory has. */
static bool unnamed_shmem(const struct vma_raw *r)
{
	struct stat st;

	return sys_fstat(host.frames_fd, &st) == 0 && st.st_dev == (vma_device(r) & ~HOST_DEV_SYSV);
}

/* Of a file whose path leads nowhere any more. */
static long magic_of_mapped(const struct mach_vma *vma)
{
	struct statfs fs;
	bool ours;
	int fd = find_descriptor(vma->start, vma, false, &ours);
	long magic = 0;

	if (fd >= 0 && sys3(SYS_fstatfs, fd, (long)&fs, 0) == 0)
		magic = (long)fs.f_type;
	host_close_hidden(fd);
	return magic;
}

static enum mach_vma_kind kind_of(const struct vma_raw *r, const struct mach_vma *vma)
{
	const char *name = r->name;
	long magic;

	if (r->inode == 0 && r->major == 0 && r->minor == 0) {
		if (name[0] == 0 || host_begins(name, "[heap]") || host_begins(name, "[stack") ||
		    host_begins(name, "[anon:"))
			return MACH_VMA_ANON;
		return host_begins(name, "[anon_shmem:") ? MACH_VMA_SHMEM : MACH_VMA_SPECIAL;
	}
	if (r->page_size > UF_PAGE_SIZE)
		return MACH_VMA_HUGETLB;
	if (unnamed_shmem(r) || host_begins(name, "[anon_shmem:"))
		return MACH_VMA_SHMEM;
	if (host_begins(name, "/dev/zero") && !vma->shared)
		return MACH_VMA_DEVZERO;
	if (host_begins(name, "/secretmem"))
		return MACH_VMA_SECRET;
	if (host_begins(name, "anon_inode:[kvm-gmem]") || host_begins(name, "/[kvm-gmem]") ||
	    host_begins(name, "anon_inode:[guest_memfd]") || host_begins(name, "/[guest_memfd]"))
		return MACH_VMA_GMEM;
	magic = magic_of(name);
	if (magic == 0 && name[0] == '/')
		magic = magic_of_mapped(vma);
	if (magic == TMPFS_MAGIC_NUMBER || same_device(r, "/dev/shm"))
		return host_begins(name, "/dev/") && !host_begins(name, "/dev/shm/")
			       ? MACH_VMA_SPECIAL
			       : MACH_VMA_SHMEM;
	if (magic == HUGETLBFS_MAGIC_NUMBER)
		return MACH_VMA_HUGETLB;
	return host_begins(name, "anon_inode:") || host_begins(name, "/dev/") ? MACH_VMA_SPECIAL
									      : MACH_VMA_FILE;
}

/*
 * Can a shared mapping that is not writable now be made so? A duplicate of one of its pages tells,
 * and nothing happens to the mapping itself; where it cannot be duplicated, smaps.
 */
static bool can_be_writable(const struct mach_vma *vma)
{
	long at = sys_mremap(vma->start, 0, UF_PAGE_SIZE, MREMAP_MAYMOVE, 0);
	struct smaps_fields fields;
	int err;

	if (sys_failed(at))
		return smaps_read(vma->start, &fields) != 0 || fields.maywrite;
	err = sys_mprotect((uint64_t)at, UF_PAGE_SIZE, PROT_READ | PROT_WRITE);
	sys_munmap((uint64_t)at, UF_PAGE_SIZE);
	return err == 0;
}

/* Does this host have memory that it may drop (Linux 6.11)? */
static bool knows_droppable(void)
{
	static _Atomic int known; /* 1: it has, 2: it has not */
	long at;

	if (atomic_load_explicit(&known, memory_order_relaxed) == 0) {
		at = sys_mmap(0, UF_PAGE_SIZE, PROT_NONE, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);
		if (!sys_failed(at))
			sys_munmap((uint64_t)at, UF_PAGE_SIZE);
		atomic_store(&known, sys_failed(at) ? 2 : 1);
	}
	return atomic_load(&known) == 1;
}

/*
 * Looks like private anonymous memory, and only smaps says otherwise, slowly; but locking has no
 * effect on it, and whether a page is locked shows (mach_vma_locked).
 */
static bool droppable(const struct mach_vma *vma)
{
	uint64_t at = vma->start;

	if (!knows_droppable() || sys_madvise(at, UF_PAGE_SIZE, MADV_COLD) != 0 ||
	    sys_mlock_on_fault(at, UF_PAGE_SIZE) != 0)
		return false;
	if (sys_madvise(at, UF_PAGE_SIZE, MADV_COLD) == 0)
		return true;
	sys_munlock(at, UF_PAGE_SIZE);
	return false;
}

static void describe(const struct vma_raw *r, struct mach_vma *vma)
{
	vma->maywrite = true;
	vma->growsdown = host_begins(r->name, "[stack]");
	vma->ino = r->inode;
	vma->dev = r->inode ? vma_device(r) : 0;
	vma->file_page = r->inode ? r->offset >> UF_PAGE_SHIFT : 0;
	vma->page_shift = UF_PAGE_SHIFT;
	vma->kind = MACH_VMA_SPECIAL;
	if (map_managed(vma->start, vma->end - vma->start) ||
	    host_owns(vma->start, vma->end - vma->start))
		return;
	vma->kind = kind_of(r, vma);
	if (vma->kind == MACH_VMA_ANON && r->name[0] == 0 && droppable(vma))
		vma->kind = MACH_VMA_SPECIAL;
	if (vma->kind == MACH_VMA_HUGETLB) {
		while (1ull << vma->page_shift < r->page_size)
			vma->page_shift++;
	} else if (vma->kind == MACH_VMA_SHMEM && note_is_huge(vma->dev, vma->ino)) {
		vma->kind = MACH_VMA_HUGETLB;
		vma->page_shift = HUGE_SHIFT;
	}
	if (vma->shared && !(vma->prot & UF_PROT_WRITE) && vma->kind != MACH_VMA_SPECIAL)
		vma->maywrite = can_be_writable(vma);
}

static int query(uint64_t addr, struct mach_vma *vma, struct vma_raw *r)
{
	struct procmap_query q = {
		.size = sizeof(q),
		.query_flags = PROCMAP_QUERY_COVERING_OR_NEXT_VMA,
		.query_addr = addr,
		.vma_name_size = sizeof(r->name),
		.vma_name_addr = (uint64_t)r->name,
	};
	int err;

	r->name[0] = 0;
	err = sys_ioctl(maps_fd(), PROCMAP_QUERY, &q);
	if (err == -ENAMETOOLONG) {
		q.vma_name_size = 0;
		q.vma_name_addr = 0;
		err = sys_ioctl(maps_fd(), PROCMAP_QUERY, &q);
	}
	if (err != 0)
		return err;
	vma->start = q.vma_start;
	vma->end = q.vma_end;
	vma->prot = ((q.vma_flags & PROCMAP_QUERY_VMA_READABLE) ? UF_PROT_READ : 0) |
		    ((q.vma_flags & PROCMAP_QUERY_VMA_WRITABLE) ? UF_PROT_WRITE : 0) |
		    ((q.vma_flags & PROCMAP_QUERY_VMA_EXECUTABLE) ? UF_PROT_EXEC : 0);
	vma->shared = q.vma_flags & PROCMAP_QUERY_VMA_SHARED;
	r->inode = q.inode;
	r->offset = q.vma_offset;
	r->page_size = q.vma_page_size;
	r->major = q.dev_major;
	r->minor = q.dev_minor;
	return 0;
}

/* ---- Without the query: the text of /proc/self/maps ---- */

static uint64_t parse_hex(const char **p)
{
	uint64_t value = 0;

	for (;; ++*p) {
		if (**p >= '0' && **p <= '9')
			value = value * 16 + (uint64_t)(**p - '0');
		else if (**p >= 'a' && **p <= 'f')
			value = value * 16 + (uint64_t)(**p - 'a' + 10);
		else
			return value;
	}
}

/* start-end rwxp offset major:minor inode   name */
static void parse_line(const char *p, struct vma_raw *r, struct mach_vma *vma)
{
	size_t n = 0;

	vma->start = parse_hex(&p);
	p++;
	vma->end = parse_hex(&p);
	p++;
	vma->prot = (p[0] == 'r' ? UF_PROT_READ : 0) | (p[1] == 'w' ? UF_PROT_WRITE : 0) |
		    (p[2] == 'x' ? UF_PROT_EXEC : 0);
	vma->shared = p[3] == 's';
	p += 5;
	r->offset = parse_hex(&p);
	p++;
	r->major = (uint32_t)parse_hex(&p);
	p++;
	r->minor = (uint32_t)parse_hex(&p);
	p++;
	r->inode = host_parse_number(&p);
	r->page_size = 0;
	while (*p == ' ')
		p++;
	while (p[n] && n < sizeof(r->name) - 1) {
		r->name[n] = p[n];
		n++;
	}
	r->name[n] = 0;
}

/* What is done with each line of a file; 0: go on, else that is the result. */
struct lines {
	int (*line)(struct lines *l, const char *text);
	void *arg;
	uint64_t addr;
};

static int read_lines(const char *path, struct lines *l)
{
	static char buf[4096], line[1024];
	int fd = sys_open(path, O_RDONLY | O_CLOEXEC), ret = 0;
	size_t n = 0;
	long got;

	if (fd < 0)
		return fd;
	mach_lock(&parse_lock);
	while (ret == 0 && (got = sys_read(fd, buf, sizeof(buf))) > 0) {
		for (long i = 0; ret == 0 && i < got; i++) {
			if (buf[i] != '\n') {
				if (n < sizeof(line) - 1)
					line[n++] = buf[i];
				continue;
			}
			line[n] = 0;
			n = 0;
			ret = l->line(l, line);
		}
	}
	mach_unlock(&parse_lock);
	sys_close(fd);
	return ret;
}

struct parsed {
	struct mach_vma *vma;
	struct vma_raw *raw;
};

static int maps_line(struct lines *l, const char *text)
{
	struct parsed *p = l->arg;

	parse_line(text, p->raw, p->vma);
	return p->vma->end > l->addr;
}

static int parse(uint64_t addr, struct mach_vma *vma, struct vma_raw *r)
{
	struct parsed p = {vma, r};
	struct lines l = {maps_line, &p, addr};
	struct smaps_fields fields;
	int ret = read_lines("/proc/self/maps", &l);

	if (ret < 0)
		return ret;
	if (ret == 0)
		return -ENOENT;
	if (r->inode != 0 && smaps_read(vma->start, &fields) == 0)
		r->page_size = fields.page_size;
	return 0;
}

/* Fields come after the line of their mapping; VmFlags is the last of them. */
static int smaps_line(struct lines *l, const char *text)
{
	struct smaps_fields *f = l->arg;
	const char *p = text;
	uint64_t start;

	if (host_begins(text, "KernelPageSize:")) {
		for (p += 15; *p == ' '; p++)
			;
		f->page_size = host_parse_number(&p) << 10;
		return 0;
	}
	if (host_begins(text, "VmFlags:")) {
		for (p += 8; f->found && *p; p++) {
			f->maywrite |= host_begins(p, " mw");
			f->noreserve |= host_begins(p, " nr");
			f->special |= host_begins(p, " dc") || host_begins(p, " dd") ||
				      host_begins(p, " wf");
		}
		return f->found;
	}
	start = parse_hex(&p);
	if (*p == '-')
		f->found = start == l->addr;
	return 0;
}

int smaps_read(uint64_t start, struct smaps_fields *fields)
{
	struct lines l = {smaps_line, fields, start};
	int ret;

	memset(fields, 0, sizeof(*fields));
	ret = read_lines("/proc/self/smaps", &l);
	if (ret < 0)
		return ret;
	return ret == 0 ? -ENOENT : 0;
}

int vma_raw_next(uint64_t addr, struct mach_vma *vma, struct vma_raw *r)
{
	int err = -ENOTTY;

	if (!atomic_load_explicit(&no_query, memory_order_relaxed))
		err = query(addr, vma, r);
	if (err == 0 || err == -ENOENT)
		return err;
	if (err == -ENOTTY || err == -EINVAL)
		atomic_store(&no_query, true);
	return parse(addr, vma, r);
}

/*
 * The host joins closed pages of ours with the program's own inaccessible mapping of the same file
 * beside them: what is managed is cut off again, on the sides of the first address that is not.
 */
static void cut_managed(uint64_t addr, struct mach_vma *vma, struct vma_raw *r)
{
	uint64_t from = vma->start > addr ? vma->start : addr;
	uint32_t i;

	mach_read_lock(&registry.lock);
	i = registry_find(from);
	if (i == registry.count || registry.segments[i].addr > from) {
		if (i < registry.count && registry.segments[i].addr < vma->end)
			vma->end = registry.segments[i].addr;
		if (i > 0) {
			const struct host_segment *s = &registry.segments[i - 1];
			uint64_t end = s->addr + (s->npages << UF_PAGE_SHIFT);

			if (end > vma->start) {
				r->offset += end - vma->start;
				vma->start = end;
			}
		}
	}
	mach_read_unlock(&registry.lock);
}

static int host_next(uint64_t addr, struct mach_vma *vma)
{
	struct vma_raw r;
	int err = vma_raw_next(addr, vma, &r);

	if (err == 0) {
		cut_managed(addr, vma, &r);
		describe(&r, vma);
	}
	return err;
}

/* What is the machine's own is no mapping to the program: to it there is a hole. */
int mach_vma_next(uint64_t addr, struct mach_vma *vma)
{
	int err = host_next(addr, vma);

	while (err == 0 && host_owns(vma->start, vma->end - vma->start) &&
	       !map_managed(vma->start, vma->end - vma->start))
		err = host_next(vma->end, vma);
	return err;
}

/*
 * The host says so only in smaps, which is slow to make; but it refuses to call locked pages cold,
 * and huge ones, which never leave memory anyway.
 * Hosts before Linux 5.4 do not know the advice and refuse it for memory that is not locked, too.
 */
bool mach_vma_locked(uint64_t addr)
{
	struct mach_vma vma = {0};
	struct vma_raw raw;

	if (vma_raw_next(addr, &vma, &raw) == 0 && raw.page_size > UF_PAGE_SIZE)
		return false;
	return sys_madvise(addr & UF_PAGE_MASK, UF_PAGE_SIZE, MADV_COLD) == -EINVAL &&
	       sys_madvise((uint64_t)mach_arena_base, UF_PAGE_SIZE, MADV_COLD) == 0;
}
