/*
 * fork.c - the child after fork. The frames that the parent manages were not inherited
 * (MADV_DONTFORK): the child has holes there. They are closed, so that nothing else lands in them,
 * and remembered, so that a fault in one can be explained. Mappings of files were, as the host
 * does it: they are opened, and are ordinary memory from then on. Everything else of ours begins
 * anew.
 */
#include "machine/host/internal.h"
#include "machine/host/swap.h"

#define CLOSED_MAX ((uint32_t)1 << 20)

struct range {
	uint64_t start, end;
};

static struct range *closed; /* sorted, joined */
static uint32_t closed_count;

/*
 * The list is made before there is anything to close: made in the child, it could land in one of
 * the very holes.
 */
static void make_list(void)
{
	long at = host_map_private(CLOSED_MAX * sizeof(*closed), PROT_READ | PROT_WRITE);

	if (!sys_failed(at))
		closed = (struct range *)at;
}

/* Some holes may be somebody else's by now. */
static void close_hole(uint64_t addr, uint64_t len)
{
	long at =
		sys_mmap(addr, len, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	if (at == (long)addr && closed && closed_count < CLOSED_MAX)
		closed[closed_count++] = (struct range){addr, addr + len};
	else if (at != (long)addr && !sys_failed(at))
		sys_munmap((uint64_t)at, len);
}

/* The segments of the parent, as they were at the fork. */
static void settle_segments(void)
{
	for (uint32_t i = 0; i < registry.count; i++) {
		const struct host_segment *s = &registry.segments[i];
		uint64_t len = s->npages << UF_PAGE_SHIFT;

		if (!s->in_place) {
			close_hole(s->addr, len);
			continue;
		}
		if (host.trap == &trap_guard)
			sys_madvise(s->addr, len, MADV_GUARD_REMOVE);
		sys_mprotect(s->addr, len, s->prot);
	}
}

bool fork_closed(uint64_t addr)
{
	for (uint32_t i = 0; i < closed_count; i++) {
		if (addr >= closed[i].start && addr < closed[i].end)
			return true;
	}
	return false;
}

/* Called with the space's write lock held, which is what guards the table. */
void fork_forget(uint64_t addr, uint64_t len)
{
	uint64_t end = addr + len;

	if (!closed)
		make_list();
	for (uint32_t i = 0; i < closed_count; i++) {
		struct range *r = &closed[i];

		if (r->end <= addr || end <= r->start)
			continue;
		if (r->start < addr && end < r->end && closed_count < CLOSED_MAX)
			closed[closed_count++] = (struct range){end, r->end};
		if (r->start < addr)
			r->end = addr;
		else
			r->start = end < r->end ? end : r->end;
	}
}

void host_after_fork_child(void)
{
	if (!host.ready)
		return;
	settle_segments();
	registry_after_fork();
	host_close_all_hidden();
	host_arena_map(host.arena_addr, host.arena_len);
	frames_after_fork();
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
