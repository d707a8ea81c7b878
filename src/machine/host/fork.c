/*
 * fork.c - before and after a fork, and which children are alive.
 *
 * For each fork the parent opens its frames file anew and locks a byte of it for reading, beyond
 * anything that the file will ever have: the byte tells the number of the fork. Only the child
 * keeps that open file description, and those that it forks. While one of them is there the parent
 * is told of the lock when it asks for the byte; death closes the descriptor, and so does exec.
 */
#include "machine/host/internal.h"
#include "machine/host/swap.h"

#define LEASES ((uint64_t)1 << 60)

static struct {
	_Atomic uint32_t *parents; /* 0 in a child that has not settled: the host clears the page */
	uint32_t owner;		   /* the process, where the host cannot */
	uint32_t forks;
	bool child;
	bool shares_files;
	int lease; /* of the fork that is under way; or negative */
} state = {.lease = -1};

int fork_init(void)
{
	long at = host_map_private(UF_PAGE_SIZE, PROT_READ | PROT_WRITE);

	if (sys_failed(at))
		return (int)at;
	if (sys_madvise((uint64_t)at, UF_PAGE_SIZE, MADV_WIPEONFORK) == 0) {
		state.parents = (_Atomic uint32_t *)at;
		atomic_store(state.parents, 1);
	}
	state.owner = sys_getpid();
	return 0;
}

bool mach_fork_pending(void)
{
	return state.parents ? atomic_load(state.parents) == 0 : sys_getpid() != state.owner;
}

bool fork_ever(void)
{
	return state.child || state.forks > 0;
}

/* ---- Leases ---- */

static int lock_byte(int fd, int cmd, short type, uint64_t first, uint64_t n, bool *there)
{
	struct flock lock = {.l_type = type,
			     .l_whence = SEEK_SET,
			     .l_start = (off_t)(LEASES + first),
			     .l_len = (off_t)n};
	int err = sys_fcntl(fd, cmd, (long)&lock);

	if (there)
		*there = lock.l_type != F_UNLCK;
	return err;
}

static int open_lease(uint32_t fork)
{
	static const char descriptors[] = "/proc/self/fd/";
	char path[40];
	size_t len = sizeof(descriptors) - 1;
	int fd;

	memcpy(path, descriptors, len);
	host_put_number(path, &len, (uint64_t)host.frames_fd);
	path[len] = 0;
	fd = host_hide_fd(sys_open(path, O_RDWR | O_CLOEXEC));
	if (fd < 0)
		return fd;
	if (lock_byte(fd, F_OFD_SETLK, F_RDLCK, fork, 1, NULL) != 0) {
		host_close_hidden(fd);
		return -EAGAIN;
	}
	host_keep_hidden(fd);
	return fd;
}

/* Where nobody can tell, there are. */
bool fork_children(uint32_t since)
{
	bool there = true;

	if (since < state.forks && lock_byte(host.frames_fd, F_OFD_GETLK, F_WRLCK, since,
					     state.forks - since, &there) != 0)
		return true;
	return since < state.forks && there;
}

/* ---- The fork ---- */

/* What the child inherits of this stretch it may read. */
static void freeze_segment(const struct host_segment *s)
{
	struct host_map *hm = arena_at(s->map);
	const struct mach_span span = {.addr = s->addr, .first = s->first, .npages = s->npages};
	const uint32_t most = UF_PROT_READ | UF_PROT_EXEC;

	if (hm->in_place || atomic_load(&hm->share) != MAP_FROZEN)
		return;
	mach_write_lock(&hm->lock);
	if (hm->trap->limit(hm, &span, s->first, s->npages, most, true) != 0)
		tlb_protect_always(hm, s->addr, s->first, s->npages, PROT_NONE);
	mach_write_unlock(&hm->lock);
	sys_madvise(s->addr, s->npages << UF_PAGE_SHIFT, MADV_DOFORK);
}

void host_fork_shares_files(bool shares)
{
	state.shares_files = shares;
}

void mach_fork_begin(void)
{
	state.lease = open_lease(state.forks);
	for (struct host_map *hm = arena_at(registry.maps); hm; hm = arena_at(hm->next)) {
		if (!hm->in_place)
			unshare_freeze(hm, state.forks);
	}
	for (uint32_t i = 0; i < registry.count; i++)
		freeze_segment(&registry.segments[i]);
	swap_before_fork(state.forks);
	state.forks++;
}

void mach_fork_parent(void)
{
	if (!state.shares_files)
		host_close_hidden(state.lease);
	state.lease = -1;
	state.shares_files = false;
}

/* By the descriptor that tells the parent; without one, by another of the same file. */
static int inherited_file(void)
{
	int fd = state.lease;

	if (fd < 0) {
		fd = host_hide_dup(host.frames_fd);
		host_keep_hidden(fd);
	}
	state.lease = -1;
	return fd;
}

void mach_fork_child(void)
{
	int fd = inherited_file();

	if (state.parents)
		atomic_store(state.parents, 1);
	state.owner = sys_getpid();
	state.child = true;
	state.forks = 0;
	registry_after_fork();
	if (!state.shares_files)
		host_close_unkept();
	frames_after_fork(fd, state.shares_files);
	state.shares_files = false;
	swap_after_fork();
	pagemap_after_fork();
	host_file_after_fork();
	fill_after_fork();
	notes_after_fork();
	vma_after_fork();
	wait_after_fork();
	signal_after_fork();
	altstack_after_fork();
}

void mach_fork_unlock(struct mach_rwlock *l)
{
	memset(l, 0, sizeof(*l));
}
