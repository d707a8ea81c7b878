/* front.c - the program's system calls on the simulated machine. */
#include "front.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "mm/direct.h"
#include "mm/internal.h"
#include "mm/policy.h"
#include "mm/reclaim.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

static uint64_t base_use;
static bool memory_is_short;

static enum sim_trap serve_fault(uint64_t addr, bool write, struct mach_trap *trap)
{
	struct mm_access access = {
		.addr = addr,
		.write = write,
		.kernel = !trap,
		.trap = trap,
	};

	switch (mm_fault(mm_space_self, &access)) {
	case MM_RETRY:
		return SIM_RETRY;
	case MM_INTERRUPTED:
		return SIM_INTERRUPTED;
	case MM_UNMANAGED:
		return SIM_UNMANAGED;
	case MM_SIGSEGV:
		return SIM_SEGV;
	case MM_SIGBUS:
		return SIM_BUS;
	}
	return SIM_SEGV;
}

void front_start(struct sim_config *config)
{
	struct mach_entry e;

	config->fault = serve_fault;
	memory_is_short = config->nomem || config->arena;
	sim_start(config);
	sim_lock_class(mach_arena_base, UF_PAGE_SIZE, SIM_LOCK_INNER);
	mach_enter(&e);
	if (mm_space_init(NULL))
		sim_fail("no space");
	base_use = arena_used();
	mach_leave(&e);
	sim_lock_class(&mm_space_self->lock, sizeof(mm_space_self->lock), SIM_LOCK_TOP);
	sim_lock_class(mm_space_self->store_lock, sizeof(mm_space_self->store_lock),
		       SIM_LOCK_OUTER);
	uffd_init(NULL);
}

void front_stop(void)
{
	struct mm_area_info info;
	struct sim_left left;
	struct mach_entry e;

	front_check();
	mach_enter(&e);
	CHECK(mm_area_info(mm_space_self, 0, &info) == -ENOENT);
	/* The array of areas keeps its room. */
	CHECK(arena_used() <= base_use + 4 * mm_space_self->cap + UF_PAGE_SIZE);
	mach_leave(&e);
	sim_left(&left);
	CHECK_EQ(left.maps, 0);
	CHECK_EQ(left.notifies, 0);
	CHECK_EQ(left.slots, 0);
	sim_stop();
}

/* ---- Descriptors ---------------------------------------------------------------------------- */

void front_make(struct front_uffd *u, uint64_t features)
{
	struct uf_api api = {.api = UF_API, .features = features};

	int err;

	/* Where memory is short, it may come back. */
	while ((err = uffd_create(mm_space_self, 0, 1, &u->ref, &u->fd)) == -ENOMEM &&
	       memory_is_short)
		mach_relax();
	CHECK_EQ(err, 0);
	atomic_store(&u->closed, false);
	u->watched = false;
	sim_lock_class(arena_at(u->ref), sizeof(struct mach_lock), SIM_LOCK_ALONE);
	if (features != ~0ull)
		CHECK_EQ(front_ioctl(u, UF_IO_API, &api), 0);
}

void front_watch(struct front_uffd *u)
{
	uffd_watch(u->ref);
	u->watched = true;
}

void front_publish(struct front_uffd *u)
{
	atomic_store(&u->stop, false);
	atomic_store(&u->users, 1);
}

void front_open(struct front_uffd *u, uint64_t features)
{
	front_make(u, features);
	front_publish(u);
}

bool front_get(struct front_uffd *u)
{
	unsigned users = atomic_load(&u->users);

	while (users && !atomic_load(&u->stop))
		if (atomic_compare_exchange_weak(&u->users, &users, users + 1))
			return true;
	return false;
}

void front_put(struct front_uffd *u)
{
	if (atomic_fetch_sub(&u->users, 1) != 1)
		return;
	sim_lock_class(arena_at(u->ref), sizeof(struct mach_lock), SIM_LOCK_PLAIN);
	uffd_close(u->ref);
	atomic_store(&u->closed, true);
}

static bool is_open(void *arg)
{
	return !atomic_load((_Atomic bool *)arg);
}

void front_close(struct front_uffd *u)
{
	atomic_store(&u->stop, true);
	front_put(u);
	sim_wait_while(is_open, &u->closed, "waits for calls on a descriptor it closed");
}

int front_ioctl(struct front_uffd *u, unsigned long cmd, void *arg)
{
	return uffd_ioctl(u->ref, cmd, SIM_HOST(arg));
}

bool front_read(struct front_uffd *u, struct uf_msg *msg)
{
	long n = uffd_read(u->ref, SIM_HOST(msg), sizeof(*msg));

	if (n != -EAGAIN)
		CHECK_EQ(n, sizeof(*msg));
	return n > 0;
}

/* As a blocking read sleeps, or as poll does. */
static void sleep_on(struct front_uffd *u)
{
	bool taken = false;

	if (sim_random(2))
		taken = sim_take_level(u->fd, &u->stop);
	else
		sim_poll(u->fd, &u->stop);
	uffd_sleep_end(u->ref, taken);
}

bool front_wait(struct front_uffd *u, struct uf_msg *msg)
{
	while (!atomic_load(&u->stop)) {
		if (front_read(u, msg))
			return true;
		/* Like an epoll that knows nothing of us: only the level can wake it. */
		if (u->watched && sim_random(3) == 0) {
			sim_poll(u->fd, &u->stop);
			continue;
		}
		uffd_spin_begin(u->ref);
		for (unsigned i = 0; i < 3 && !uffd_ready(u->ref); i++)
			mach_relax();
		uffd_spin_end(u->ref);
		if (uffd_sleep_begin(u->ref))
			sleep_on(u);
	}
	return false;
}

void front_pending(struct front_uffd *u, unsigned *unread, unsigned *all)
{
	char text[128];
	size_t n = uffd_fdinfo(u->ref, text, sizeof(text) - 1);

	text[n] = '\0';
	if (sscanf(text, "pending:\t%u\ntotal:\t%u", unread, all) != 2)
		sim_fail("fdinfo says: %s", text);
}

/* ---- ioctls --------------------------------------------------------------------------------- */

int front_register(struct front_uffd *u, uint64_t start, uint64_t len, uint64_t mode)
{
	struct uf_register arg = {.range = {start, len}, .mode = mode};

	return front_ioctl(u, UF_IO_REGISTER, &arg);
}

int front_unregister(struct front_uffd *u, uint64_t start, uint64_t len)
{
	struct uf_range arg = {start, len};

	return front_ioctl(u, UF_IO_UNREGISTER, &arg);
}

int front_wake(struct front_uffd *u, uint64_t start, uint64_t len)
{
	struct uf_range arg = {start, len};

	return front_ioctl(u, UF_IO_WAKE, &arg);
}

int front_copy(struct front_uffd *u, uint64_t dst, uint64_t src, uint64_t len, uint64_t mode,
	       int64_t *done)
{
	struct uf_copy arg = {.dst = dst, .src = src, .len = len, .mode = mode};
	int err = front_ioctl(u, UF_IO_COPY, &arg);

	*done = arg.copy;
	return err;
}

int front_zero(struct front_uffd *u, uint64_t start, uint64_t len, uint64_t mode, int64_t *done)
{
	struct uf_zeropage arg = {.range = {start, len}, .mode = mode};
	int err = front_ioctl(u, UF_IO_ZEROPAGE, &arg);

	*done = arg.zeropage;
	return err;
}

int front_continue(struct front_uffd *u, uint64_t start, uint64_t len, uint64_t mode, int64_t *done)
{
	struct uf_continue arg = {.range = {start, len}, .mode = mode};
	int err = front_ioctl(u, UF_IO_CONTINUE, &arg);

	*done = arg.mapped;
	return err;
}

int front_poison(struct front_uffd *u, uint64_t start, uint64_t len, uint64_t mode, int64_t *done)
{
	struct uf_poison arg = {.range = {start, len}, .mode = mode};
	int err = front_ioctl(u, UF_IO_POISON, &arg);

	*done = arg.updated;
	return err;
}

int front_move(struct front_uffd *u, uint64_t dst, uint64_t src, uint64_t len, uint64_t mode,
	       int64_t *done)
{
	struct uf_move arg = {.dst = dst, .src = src, .len = len, .mode = mode};
	int err = front_ioctl(u, UF_IO_MOVE, &arg);

	*done = arg.move;
	return err;
}

int front_wp(struct front_uffd *u, uint64_t start, uint64_t len, uint64_t mode)
{
	struct uf_writeprotect arg = {.range = {start, len}, .mode = mode};

	return front_ioctl(u, UF_IO_WRITEPROTECT, &arg);
}

int front_rwp(struct front_uffd *u, uint64_t start, uint64_t len, uint64_t mode)
{
	struct uf_rwprotect arg = {.range = {start, len}, .mode = mode};

	return front_ioctl(u, UF_IO_RWPROTECT, &arg);
}

/* ---- Mappings ------------------------------------------------------------------------------- */

int front_munmap(uint64_t addr, uint64_t len)
{
	struct mach_entry e;
	int err;

	mach_enter(&e);
	err = mm_munmap(mm_space_self, addr, len, NULL);
	mach_leave(&e);
	return err;
}

int front_mmap(uint64_t addr, uint64_t len, uint32_t prot)
{
	struct mach_entry e;
	int err;

	mach_enter(&e);
	err = mm_mmap_fixed(mm_space_self, addr, len, (int)prot,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, NULL);
	mach_leave(&e);
	return err;
}

int front_mmap_file(uint64_t addr, uint64_t len, uint32_t prot, bool shared,
		    const struct sim_file *file, uint64_t page)
{
	struct mach_entry e;
	int err;

	mach_enter(&e);
	err = mm_mmap_fixed(mm_space_self, addr, len, (int)prot,
			    (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED, sim_file_fd(file),
			    PAGES(page), NULL);
	mach_leave(&e);
	return err;
}

int front_remove(uint64_t addr, uint64_t len)
{
	struct mach_entry e;
	int err;

	mach_enter(&e);
	err = mm_madvise(mm_space_self, addr, len, MADV_REMOVE, NULL);
	mach_leave(&e);
	return err;
}

/* Managed pieces go to the mm, the others are the machine's own. */
static int each_piece(uint64_t addr, uint64_t len,
		      int (*managed)(uint64_t addr, uint64_t len, uint32_t arg),
		      void (*native)(uint64_t addr, uint64_t len, uint32_t arg), uint32_t arg)
{
	uint64_t end = addr + len, piece_end;
	struct mach_entry e;
	int err = 0;

	mach_enter(&e);
	for (; !err && addr < end; addr = piece_end) {
		if (mm_piece(mm_space_self, addr, end, &piece_end))
			err = managed(addr, piece_end - addr, arg);
		else
			native(addr, piece_end - addr, arg);
	}
	mach_leave(&e);
	return err;
}

static int protect_managed(uint64_t addr, uint64_t len, uint32_t prot)
{
	return mm_mprotect(mm_space_self, addr, len, prot);
}

static void protect_native(uint64_t addr, uint64_t len, uint32_t prot)
{
	sim_mprotect(addr, len, prot);
}

int front_mprotect(uint64_t addr, uint64_t len, uint32_t prot)
{
	return each_piece(addr, len, protect_managed, protect_native, prot);
}

static int zap_managed(uint64_t addr, uint64_t len, uint32_t advice)
{
	return mm_madvise(mm_space_self, addr, len, (int)advice, NULL);
}

static void zap_native(uint64_t addr, uint64_t len, uint32_t advice)
{
	(void)advice;
	sim_zap(addr, len);
}

int front_zap(uint64_t addr, uint64_t len)
{
	return each_piece(addr, len, zap_managed, zap_native, MADV_DONTNEED);
}

static int populate_managed(uint64_t addr, uint64_t len, uint32_t advice)
{
	return mm_madvise(mm_space_self, addr, len, (int)advice, NULL);
}

static void leave_native(uint64_t addr, uint64_t len, uint32_t advice)
{
	(void)addr;
	(void)len;
	(void)advice;
}

/* The events would be the descriptors' to send. */
static uf_ref fork_space(bool child)
{
	struct mach_entry e;
	uf_ref first = 0;

	mach_enter(&e);
	mm_fork_begin(mm_space_self);
	sim_point();
	if (child)
		mm_fork_child(mm_space_self, NULL);
	for (uf_ref ctx = uffd_fork_done(), next; ctx; ctx = next) {
		next = uffd_fork_next(ctx);
		if (child && !first)
			first = uffd_fork_child(ctx);
		uffd_fork_event(ctx, -1);
	}
	if (!child)
		mm_fork_parent(mm_space_self);
	mach_leave(&e);
	return first;
}

void front_fork_parent(void)
{
	(void)fork_space(false);
}

uf_ref front_fork_child(void)
{
	return fork_space(true);
}

int front_populate(uint64_t addr, uint64_t len, bool write)
{
	return each_piece(addr, len, populate_managed, leave_native,
			  write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
}

int front_mremap(uint64_t from, uint64_t from_len, uint64_t to_len, int flags, uint64_t to,
		 uint64_t *result)
{
	struct mach_entry e;
	int err;

	mach_enter(&e);
	err = mm_mremap(mm_space_self, from, from_len, to_len, flags, to, result, NULL);
	mach_leave(&e);
	return err;
}

int front_mcopy(uint64_t dst, uint64_t src, uint64_t len, uint64_t *done)
{
	struct mm_fill fill = {
		.source = MM_SOURCE_COPY, .dst = dst, .src = src, .len = len, .any = true};
	struct mach_entry e;
	int err;

	mach_enter(&e);
	err = mm_fill(mm_space_self, &fill, NULL, 0, done);
	if (*done)
		mm_wake(mm_space_self, dst, *done);
	mach_leave(&e);
	return err;
}

void front_pageout(uint64_t addr, uint64_t len)
{
	struct mach_entry e;

	mach_enter(&e);
	mm_pageout(mm_space_self, addr, len);
	mach_leave(&e);
}

int front_limit(uint64_t addr, uint64_t pages)
{
	struct mach_entry e;
	int err;

	mach_enter(&e);
	err = addr ? mm_limit_area(mm_space_self, addr, PAGES(pages))
		   : mm_limit_space(mm_space_self, PAGES(pages));
	mach_leave(&e);
	return err;
}

int front_policy(unsigned i)
{
	struct mach_entry e;
	unsigned n = 0;
	int err;

	while (mm_policy_at(n))
		n++;
	mach_enter(&e);
	err = mm_set_policy(mm_space_self, mm_policy_at(i % n)->name);
	mach_leave(&e);
	return err;
}

/* ---- Looking -------------------------------------------------------------------------------- */

bool front_pagemap(uint64_t addr, uint64_t *word)
{
	struct mach_entry e;
	int err;

	mach_enter(&e);
	err = mm_pagemap(mm_space_self, addr, 1, word);
	mach_leave(&e);
	return !err;
}

bool front_scan(uint64_t addr, struct mm_scan_page *page)
{
	struct mach_entry e;
	int err;

	mach_enter(&e);
	err = mm_scan_page(mm_space_self, addr, page);
	mach_leave(&e);
	return !err;
}

static mm_entry entry_at(uint64_t addr)
{
	mm_entry *entries, entry = 0;
	struct mach_entry e;
	struct mm_area *a;
	uint64_t page;

	mach_enter(&e);
	a = mm_area_find(mm_space_self, addr);
	if (a) {
		page = mm_area_page(a, addr);
		mm_leaf_peek(mm_area_table(a), page, &entries);
		entry = entries ? entries[page % MM_LEAF_ENTRIES] : 0;
		mm_leaf_unlock(mm_area_table(a), page);
	}
	mach_leave(&e);
	return entry;
}

bool front_is_poison(uint64_t addr)
{
	return entry_at(addr) & MM_POISON;
}

const uint64_t *front_contents(uint64_t addr)
{
	const uint64_t *words = sim_peek(addr);
	mm_entry entry = words ? 0 : entry_at(addr);

	if (mm_kind(entry) == MM_SWAP && mm_value(entry) >= MACH_SWAP_FIRST)
		words = sim_swap_peek(mm_value(entry));
	return words;
}

static void check_tlb(const struct mm_area_info *area)
{
	/* The base pages of a huge one are all alike, says mm_check. */
	uint64_t step = strcmp(area->type, "hugetlb") == 0 ? PAGES(64) : UF_PAGE_SIZE;

	for (uint64_t addr = area->start; addr < area->end; addr += step) {
		struct mm_scan_page scan;
		uint32_t tlb = sim_tlb(addr), may = area->prot;
		uint64_t word;

		/* What the program unmapped behind our back is the host's. */
		if (!tlb || !sim_is_managed(addr))
			continue;
		if (!front_pagemap(addr, &word) || !front_scan(addr, &scan))
			sim_fail("page %#llx has an area and no pagemap", (unsigned long long)addr);
		if (!(word & PM_PRESENT))
			may = 0;
		if ((word & PM_WP) && (area->modes & MM_MODE_WP))
			may &= ~UF_PROT_WRITE;
		if ((area->modes & MM_MODE_RWP) && !(scan.categories & SCAN_ACCESSED))
			may = 0;
		if (tlb & ~may)
			sim_fail("page %#llx: the TLB lets %#x through, the page table %#x",
				 (unsigned long long)addr, tlb, may);
	}
}

void front_check(void)
{
	struct mm_area_info area;
	struct mach_entry e;
	const char *wrong;

	mach_enter(&e);
	wrong = mm_check(mm_space_self);
	if (wrong)
		sim_fail("%s", wrong);
	for (uint32_t i = 0; mm_area_info(mm_space_self, i, &area) == 0; i++)
		check_tlb(&area);
	mach_leave(&e);
}
