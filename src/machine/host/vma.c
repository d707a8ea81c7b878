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

#define NAME_MAX_LEN 512

/* What is known about a mapping before its kind is decided. */
struct raw {
	uint64_t inode, page_size;
	uint32_t major, minor;
	char name[NAME_MAX_LEN];
};

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
	if (!atomic_compare_exchange_strong(&maps, &none, fd < 0 ? fd : fd + 1)) {
		host_close_hidden(fd);
		return maps_fd();
	}
	return fd;
}

static bool begins(const char *s, const char *with)
{
	while (*with && *s == *with) {
		s++;
		with++;
	}
	return *with == 0;
}

static long magic_of(const char *path)
{
	struct statfs fs;

	if (sys3(SYS_statfs, (long)path, (long)&fs, 0) != 0)
		return 0;
	return (long)fs.f_type;
}

static bool same_device(const struct raw *r, const char *path)
{
	struct stat st;

	if (sys4(SYS_newfstatat, AT_FDCWD, (long)path, (long)&st, 0) != 0)
		return false;
	return (st.st_dev >> 8 & 0xfff) == r->major &&
	       ((st.st_dev & 0xff) | (st.st_dev >> 12 & 0xfff00)) == r->minor;
}

/* A memory file of ours tells which device all unnamed shared memory has. */
static bool unnamed_shmem(const struct raw *r)
{
	struct stat st;

	if (sys3(SYS_fstat, host.frames_fd, (long)&st, 0) != 0)
		return false;
	return (st.st_dev >> 8 & 0xfff) == r->major &&
	       ((st.st_dev & 0xff) | (st.st_dev >> 12 & 0xfff00)) == r->minor;
}

static enum mach_vma_kind kind_of(const struct raw *r, bool shared)
{
	const char *name = r->name;
	long magic;

	if (r->inode == 0 && r->major == 0 && r->minor == 0) {
		if (name[0] == 0 || begins(name, "[heap]") || begins(name, "[stack") ||
		    begins(name, "[anon:"))
			return MACH_VMA_ANON;
		return begins(name, "[anon_shmem:") ? MACH_VMA_SHMEM : MACH_VMA_SPECIAL;
	}
	if (r->page_size > UF_PAGE_SIZE)
		return MACH_VMA_HUGETLB;
	if (unnamed_shmem(r) || begins(name, "[anon_shmem:"))
		return MACH_VMA_SHMEM;
	if (begins(name, "/dev/zero") && !shared)
		return MACH_VMA_DEVZERO;
	magic = magic_of(name);
	if (magic == TMPFS_MAGIC_NUMBER || same_device(r, "/dev/shm"))
		return begins(name, "/dev/") && !begins(name, "/dev/shm/") ? MACH_VMA_SPECIAL
									   : MACH_VMA_SHMEM;
	if (magic == HUGETLBFS_MAGIC_NUMBER)
		return MACH_VMA_HUGETLB;
	return begins(name, "anon_inode:") || begins(name, "/dev/") ? MACH_VMA_SPECIAL
								    : MACH_VMA_FILE;
}

static void describe(const struct raw *r, struct mach_vma *vma)
{
	vma->maywrite = true;
	vma->growsdown = begins(r->name, "[stack]");
	if (map_managed(vma->start, vma->end - vma->start) ||
	    host_owns(vma->start, vma->end - vma->start))
		vma->kind = MACH_VMA_SPECIAL;
	else
		vma->kind = kind_of(r, vma->shared);
}

static int query(uint64_t addr, struct mach_vma *vma)
{
	struct raw r = {0};
	struct procmap_query q = {
		.size = sizeof(q),
		.query_flags = PROCMAP_QUERY_COVERING_OR_NEXT_VMA,
		.query_addr = addr,
		.vma_name_size = sizeof(r.name),
		.vma_name_addr = (uint64_t)r.name,
	};
	int err = sys_ioctl(maps_fd(), PROCMAP_QUERY, &q);

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
	r.inode = q.inode;
	r.page_size = q.vma_page_size;
	r.major = q.dev_major;
	r.minor = q.dev_minor;
	describe(&r, vma);
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
static void parse_line(const char *p, struct raw *r, struct mach_vma *vma)
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
	parse_hex(&p);
	p++;
	r->major = (uint32_t)parse_hex(&p);
	p++;
	r->minor = (uint32_t)parse_hex(&p);
	p++;
	r->inode = host_parse_number(&p);
	r->page_size = UF_PAGE_SIZE;
	while (*p == ' ')
		p++;
	while (p[n] && n < sizeof(r->name) - 1) {
		r->name[n] = p[n];
		n++;
	}
	r->name[n] = 0;
}

static int parse(uint64_t addr, struct mach_vma *vma)
{
	static char buf[4096], line[1024];
	static struct raw r;
	int fd = sys_open("/proc/self/maps", O_RDONLY | O_CLOEXEC), err = -ENOENT;
	size_t n = 0;
	long got;

	if (fd < 0)
		return fd;
	mach_lock(&parse_lock);
	while (err != 0 && (got = sys_read(fd, buf, sizeof(buf))) > 0) {
		for (long i = 0; err != 0 && i < got; i++) {
			if (buf[i] != '\n') {
				if (n < sizeof(line) - 1)
					line[n++] = buf[i];
				continue;
			}
			line[n] = 0;
			n = 0;
			parse_line(line, &r, vma);
			err = vma->end > addr ? 0 : -ENOENT;
		}
	}
	if (err == 0)
		describe(&r, vma);
	mach_unlock(&parse_lock);
	sys_close(fd);
	return err;
}

static int host_next(uint64_t addr, struct mach_vma *vma)
{
	int err = -ENOTTY;

	if (!atomic_load_explicit(&no_query, memory_order_relaxed))
		err = query(addr, vma);
	if (err == 0 || err == -ENOENT)
		return err;
	if (err == -ENOTTY || err == -EINVAL)
		atomic_store(&no_query, true);
	return parse(addr, vma);
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
 * The host says so only in smaps, which is slow to make; but it refuses to call locked pages cold.
 * Hosts before Linux 5.4 do not know the advice and refuse it for memory that is not locked, too.
 */
bool mach_vma_locked(uint64_t addr)
{
	return sys_madvise(addr & UF_PAGE_MASK, UF_PAGE_SIZE, MADV_COLD) == -EINVAL &&
	       sys_madvise((uint64_t)mach_arena_base, UF_PAGE_SIZE, MADV_COLD) == 0;
}
