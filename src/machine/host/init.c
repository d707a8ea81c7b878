/* init.c - start-up: the arena, the choice of the trap, what is asked of the host once. */
#include <sys/sysinfo.h>

#include "machine/host/internal.h"

char *mach_arena_base;
uint64_t mach_arena_size;
struct host_state host;

#define GIB	  ((uint64_t)1 << 30)
#define ARENA_MAX (64 * GIB)
#define ARENA_MIN (GIB / 4)

/* Idle frames by default: this part of the memory there is, within bounds (in pages). */
#define WARM_PART	      64
#define WARM_MIN	      4096
#define WARM_MAX	      98304
#define DEFAULT_MAX_MAP_COUNT 65530

/* Bookkeeping in private memory: a handful of tables, and regions of alternate stacks. */
#define PRIVATE_MAX 160

static struct {
	_Atomic uint64_t addr;
	uint64_t len;
} private_maps[PRIVATE_MAX];
static _Atomic uint32_t private_count;

uint64_t mach_task_size(void)
{
	return CPU_TASK_SIZE;
}

/*
 * A size limit on files (RLIMIT_FSIZE) counts for memory files too, and going beyond it is a
 * signal: our files are made as long as they will ever be, once, with the limit out of the way.
 */
static int set_length(int fd, uint64_t len)
{
	struct rlimit lim, wide;
	int err;

	err = sys_rlimit(RLIMIT_FSIZE, NULL, &lim);
	if (err != 0 || lim.rlim_cur >= len)
		return sys_ftruncate(fd, len);
	if (lim.rlim_max < len)
		return -EFBIG;
	wide = (struct rlimit){lim.rlim_max, lim.rlim_max};
	sys_rlimit(RLIMIT_FSIZE, &wide, NULL);
	err = sys_ftruncate(fd, len);
	sys_rlimit(RLIMIT_FSIZE, &lim, NULL);
	return err;
}

int host_memory_file(const char *name, uint64_t len)
{
	int fd = host_hide_fd(sys_memfd_create(name, MFD_CLOEXEC)), err;

	if (fd < 0)
		return fd;
	err = set_length(fd, len);
	if (err != 0) {
		host_close_hidden(fd);
		return err;
	}
	return fd;
}

/*
 * Accessible only after it is unlocked: mlockall(MCL_FUTURE) would fill a mapping that it finds
 * accessible.
 */
long host_map_sparse(uint64_t addr, uint64_t len, int fd, uint64_t off)
{
	long at = sys_mmap(addr, len, PROT_NONE,
			   MAP_SHARED | MAP_NORESERVE | (addr ? MAP_FIXED : 0), fd, off);
	int err;

	if (sys_failed(at))
		return at;
	sys_munlock((uint64_t)at, len);
	sys_madvise((uint64_t)at, len, MADV_DONTDUMP);
	err = sys_mprotect((uint64_t)at, len, PROT_READ | PROT_WRITE);
	if (err != 0) {
		sys_munmap((uint64_t)at, len);
		return err;
	}
	return at;
}

/*
 * Not dumped, which also keeps the host from making one mapping of ours and a neighbour of the
 * program's.
 */
long host_map_private(uint64_t len, int prot)
{
	long at = sys_mmap(0, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint32_t i = atomic_load(&private_count);

	if (sys_failed(at))
		return at;
	do {
		if (i == PRIVATE_MAX) {
			sys_munmap((uint64_t)at, len);
			return -ENOMEM;
		}
	} while (!atomic_compare_exchange_weak(&private_count, &i, i + 1));
	private_maps[i].len = len;
	atomic_store(&private_maps[i].addr, (uint64_t)at);
	sys_madvise((uint64_t)at, len, MADV_DONTDUMP);
	return at;
}

static bool private_own(uint64_t addr, uint64_t len)
{
	for (uint32_t i = 0; i < atomic_load(&private_count); i++) {
		uint64_t at = atomic_load(&private_maps[i].addr);

		if (at != 0 && addr < at + private_maps[i].len && at < addr + len)
			return true;
	}
	return false;
}

static int map_arena(uint64_t len)
{
	long at = host_map_private(len, PROT_NONE);

	if (sys_failed(at))
		return (int)at;
	/* As in host_map_sparse. */
	sys_munlock((uint64_t)at, len);
	if (sys_mprotect((uint64_t)at, len, PROT_READ | PROT_WRITE) != 0)
		return -ENOMEM;
	host.arena_addr = (uint64_t)at;
	host.arena_len = len;
	mach_arena_base = (char *)at;
	mach_arena_size = len;
	return 0;
}

/* The largest arena the limits on address space allow. */
static int arena_init_any(void)
{
	uint64_t len = ARENA_MAX;
	int err;

	do {
		err = map_arena(len);
		len /= 4;
	} while (err != 0 && len >= ARENA_MIN);
	return err;
}

void mach_arena_trim(void *p, size_t len)
{
	if (sys_madvise((uint64_t)p, len, MADV_DONTNEED) != 0)
		memset(p, 0, len);
}

static uint32_t count_cpus(void)
{
	uint64_t mask[64] = {0};
	long len = sys3(SYS_sched_getaffinity, 0, sizeof(mask), (long)mask);
	uint32_t n = 0;

	for (long i = 0; i < len / 8; i++)
		n += (uint32_t)count_bits(mask[i]);
	return n ? n : 1;
}

static uint32_t read_max_maps(void)
{
	char buf[32];
	const char *p = buf;

	if (host_read_file("/proc/sys/vm/max_map_count", buf, sizeof(buf)) <= 0)
		return DEFAULT_MAX_MAP_COUNT;
	return (uint32_t)host_parse_number(&p);
}

/* What a control group allows counts as all there is. */
static uint64_t default_warm_pages(void)
{
	struct sysinfo info;
	uint64_t bytes = 0, most;
	char buf[32];
	const char *p = buf;

	if (sys1(SYS_sysinfo, (long)&info) == 0)
		bytes = (uint64_t)info.totalram * info.mem_unit;
	if (host_read_file("/sys/fs/cgroup/memory.max", buf, sizeof(buf)) > 0) {
		most = host_parse_number(&p);
		if (p != buf && most < bytes)
			bytes = most;
	}
	most = (bytes >> UF_PAGE_SHIFT) / WARM_PART;
	if (most < WARM_MIN)
		return WARM_MIN;
	return most < WARM_MAX ? most : WARM_MAX;
}

static int choose_trap(enum host_trap_choice choice, const char **why)
{
	struct host_probe probe;
	bool guard;

	host_probe(&probe);
	guard = probe.guard_shared && probe.guard_keeps_contents;
	if (choice == HOST_TRAP_GUARD && !guard) {
		*why = "the guard trap needs MADV_GUARD_INSTALL on shared memory (Linux 6.15)";
		return -EOPNOTSUPP;
	}
	if (!guard && !probe.mprotect) {
		*why = "no trap works here: neither guard regions nor mprotect";
		return -EOPNOTSUPP;
	}
	host.trap = guard && choice != HOST_TRAP_MPROTECT ? &trap_guard : &trap_mprotect;
	return 0;
}

int host_init(const struct host_config *config, const char **why)
{
	int err;

	*why = "";
	if (host.ready)
		return 0;
	cpu_init();
	host.cpus = count_cpus();
	host.max_maps = read_max_maps();
	host.warm_limit = config->warm_pages ? config->warm_pages : default_warm_pages();
	tlb_set_budget(config->budget);
	err = choose_trap(config->trap, why);
	if (err != 0)
		return err;
	err = arena_init_any();
	if (err != 0) {
		*why = "no room for the bookkeeping: a limit on address space, file size or "
		       "descriptors is too small";
		return err;
	}
	err = registry_init();
	if (err == 0)
		err = fork_init();
	if (err == 0)
		err = frames_init();
	if (err != 0) {
		*why = "the memory file for pages cannot be made";
		return err;
	}
	wait_init();
	host.ready = true;
	return 0;
}

const char *host_trap_name(void)
{
	return host.trap ? host.trap->name : "none";
}

bool host_owns(uint64_t addr, uint64_t len)
{
	if (!host.ready)
		return false;
	if (addr < host.arena_addr + host.arena_len && host.arena_addr < addr + len)
		return true;
	return frames_own(addr, len) || private_own(addr, len) || aside_own(addr, len) ||
	       in_place_own(addr, len);
}

static bool fork_events_allowed;

void host_allow_fork_events(void)
{
	fork_events_allowed = true;
}

bool mach_may_ptrace(void)
{
	struct {
		uint32_t version;
		int pid;
	} head = {0x20080522, 0}; /* _LINUX_CAPABILITY_VERSION_3 */
	struct {
		uint32_t effective, permitted, inheritable;
	} caps[2] = {{0, 0, 0}, {0, 0, 0}};

	if (fork_events_allowed)
		return true;
	if (sys3(SYS_capget, (long)&head, (long)caps, 0) != 0)
		return false;
	return caps[0].effective >> 19 & 1; /* CAP_SYS_PTRACE */
}
