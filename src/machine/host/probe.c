/* probe.c - what works here, found out by doing it. Usable before host_init. */
#include <linux/fs.h>

#include "machine/host/internal.h"

#ifndef PAGEMAP_SCAN
#define PAGEMAP_SCAN _IOWR('f', 16, uint64_t[12])
#endif
#ifndef PROCMAP_QUERY
#define PROCMAP_QUERY _IOWR('f', 17, uint64_t[13])
#endif

#define MARK 0x5a

static bool guard_works(uint64_t at)
{
	return sys_madvise(at, UF_PAGE_SIZE, MADV_GUARD_INSTALL) == 0 &&
	       sys_madvise(at, UF_PAGE_SIZE, MADV_GUARD_REMOVE) == 0;
}

static long map_page(int prot, int flags, int fd)
{
	return sys_mmap(0, UF_PAGE_SIZE, prot, flags, fd, 0);
}

static void probe_anon(struct host_probe *out)
{
	long at = map_page(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	if (sys_failed(at))
		return;
	out->guard_anon = guard_works((uint64_t)at);
	out->mprotect = sys_mprotect((uint64_t)at, UF_PAGE_SIZE, PROT_NONE) == 0 &&
			sys_mprotect((uint64_t)at, UF_PAGE_SIZE, PROT_READ | PROT_WRITE) == 0;
	sys_munmap((uint64_t)at, UF_PAGE_SIZE);
}

/* A page written, guarded and opened again in a memory file, under one protection and the next. */
static void probe_shared(struct host_probe *out)
{
	int fd = sys_memfd_create("userfault-probe", MFD_CLOEXEC);
	volatile char *p;
	long at;

	if (fd < 0)
		return;
	out->memfd = true;
	if (sys_ftruncate(fd, UF_PAGE_SIZE) == 0 &&
	    !sys_failed(at = map_page(PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd))) {
		p = (volatile char *)at;
		*p = MARK;
		out->guard_shared = guard_works((uint64_t)at);
		out->guard_keeps_contents =
			out->guard_shared && *p == MARK &&
			sys_mprotect((uint64_t)at, UF_PAGE_SIZE, PROT_NONE) == 0 &&
			sys_madvise((uint64_t)at, UF_PAGE_SIZE, MADV_GUARD_INSTALL) == 0 &&
			sys_mprotect((uint64_t)at, UF_PAGE_SIZE, PROT_READ) == 0 &&
			sys_madvise((uint64_t)at, UF_PAGE_SIZE, MADV_GUARD_REMOVE) == 0 &&
			*p == MARK;
		sys_munmap((uint64_t)at, UF_PAGE_SIZE);
	}
	sys_close(fd);
}

/* A host that knows the request looks at the argument and refuses that; another says ENOTTY. */
static bool knows_request(const char *path, unsigned long request)
{
	uint64_t nothing[16] = {0};
	int fd = sys_open(path, O_RDONLY | O_CLOEXEC), err;

	if (fd < 0)
		return false;
	err = sys_ioctl(fd, request, nothing);
	sys_close(fd);
	return err != -ENOTTY && err != -ENOSYS;
}

void host_probe(struct host_probe *out)
{
	char buf[32];
	const char *p = buf;

	memset(out, 0, sizeof(*out));
	probe_anon(out);
	probe_shared(out);
	out->pagemap_scan = knows_request("/proc/self/pagemap", PAGEMAP_SCAN);
	out->procmap_query = knows_request("/proc/self/maps", PROCMAP_QUERY);
	if (host_read_file("/proc/sys/vm/max_map_count", buf, sizeof(buf)) > 0)
		out->max_map_count = host_parse_number(&p);
}
