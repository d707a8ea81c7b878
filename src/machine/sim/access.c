/*
 * access.c - what a load or store meets: the TLB, and the trap behind it. The machine's own copies
 * from and to the program's memory take the same way.
 */
#include <errno.h>
#include <string.h>

#include "machine/sim/access.h"
#include "machine/sim/world.h"

#define HOST_BIT (1ull << 63)

struct mach_trap {
	uint64_t addr;
	bool write;
};

static struct sim_frame *native_frame(struct sim_page *p)
{
	if (!p->native)
		p->native = sim_frames_new(1);
	return p->native;
}

enum met {
	DONE,
	TRAP,
	BUS /* the file ends before it, or has no room */
};

static void copy_bytes(struct sim_frame *f, uint64_t addr, void *buf, size_t len, bool write)
{
	char *at = (char *)f->word + addr % UF_PAGE_SIZE;

	if (write)
		memcpy(at, buf, len);
	else
		memcpy(buf, at, len);
}

/* One access inside a page, if it is let through. Relaxed atomics: the program may race itself. */
static enum met access_page(uint64_t addr, void *buf, size_t len, bool write)
{
	struct sim_page *p = sim_page_at(addr);
	uint32_t need = write ? UF_PROT_WRITE : UF_PROT_READ, have = 0;
	struct sim_frame *f;
	enum met met = TRAP;

	if (!p)
		return TRAP;
	sim_page_lock(p);
	if (p->kind == SIM_NATIVE)
		have = p->vma.prot;
	else if (p->kind == SIM_MANAGED)
		have = p->tlb;
	if (!(have & need))
		goto out;
	if (write && p->kind == SIM_MANAGED && p->map->frozen)
		sim_fail("%#llx is shared by a fork and can be written", (unsigned long long)addr);
	if (sim_in_place(p)) {
		sim_files_lock();
		f = sim_file_access(p, write);
		if (f)
			copy_bytes(f, addr, buf, len, write);
		sim_files_unlock();
	} else {
		f = p->kind == SIM_NATIVE ? native_frame(p) : &p->map->frames[p->index];
		copy_bytes(f, addr, buf, len, write);
	}
	met = f ? DONE : BUS;
out:
	sim_page_unlock(p);
	return met;
}

/*
 * The trap handler. A program's own thread can be interrupted by a signal, whose handler then runs
 * (a scheduling point here); an access made on behalf of a system call cannot.
 */
static enum sim_outcome trapped(uint64_t addr, bool write, bool kernel)
{
	struct mach_trap trap = {addr, write};
	struct mach_entry e;
	enum sim_trap what = SIM_UNMANAGED;

	if (sim_current->trapped)
		sim_fail("a trap inside of the trap handler at %#llx", (unsigned long long)addr);
	if (sim_holds_lock())
		sim_fail("a trap with a lock held at %#llx", (unsigned long long)addr);
	if (sim_in_atomic())
		sim_fail("a trap where none may be at %#llx", (unsigned long long)addr);
	mach_enter(&e);
	sim_current->trapped = true;
	if (sim_config.fault)
		what = sim_config.fault(addr, write, kernel ? NULL : &trap);
	sim_current->trapped = false;
	mach_leave(&e);
	switch (what) {
	case SIM_INTERRUPTED:
		if (kernel)
			sim_fail("a fault of a system call was interrupted");
		sim_point();
		return SIM_OK;
	case SIM_RETRY:
		return SIM_OK;
	case SIM_UNMANAGED:
		/* Not the mm's: the program's own signal, unless it is the mm's by now, or allowed.
		 */
		if ((sim_tlb(addr) & (write ? UF_PROT_WRITE : UF_PROT_READ)) ||
		    sim_is_managed(addr))
			return SIM_OK;
		return SIM_GOT_SEGV;
	case SIM_SEGV:
		return SIM_GOT_SEGV;
	case SIM_BUS:
		return SIM_GOT_BUS;
	}
	return SIM_GOT_SEGV;
}

static enum sim_outcome access_word(uint64_t addr, uint64_t *value, bool write)
{
	enum sim_outcome outcome;
	enum met met;

	if (addr % sizeof(*value))
		sim_fail("access to an odd address");
	sim_point();
	sim_maybe_evict();
	while ((met = access_page(addr, value, sizeof(*value), write)) != DONE) {
		if (met == BUS)
			return SIM_GOT_BUS;
		outcome = trapped(addr, write, false);
		if (outcome != SIM_OK)
			return outcome;
		sim_point();
		sim_maybe_evict();
	}
	return SIM_OK;
}

enum sim_outcome sim_load(uint64_t addr, uint64_t *value)
{
	return access_word(addr, value, false);
}

enum sim_outcome sim_store(uint64_t addr, uint64_t value)
{
	return access_word(addr, &value, true);
}

bool sim_try_load(uint64_t addr, uint64_t *value)
{
	return access_page(addr, value, sizeof(*value), false) == DONE;
}

void sim_fill_native(uint64_t addr, const uint64_t *words)
{
	struct sim_page *p = sim_page_must(addr);

	sim_page_lock(p);
	if (p->kind != SIM_NATIVE || sim_in_place(p))
		sim_fail("%#llx is no native anonymous memory", (unsigned long long)addr);
	memcpy(native_frame(p)->word, words, UF_PAGE_SIZE);
	sim_page_unlock(p);
}

static size_t in_page(uint64_t addr, size_t len)
{
	size_t room = UF_PAGE_SIZE - addr % UF_PAGE_SIZE;

	return len < room ? len : room;
}

bool sim_read_now(uint64_t src, void *dst, size_t len)
{
	char *to = dst;

	/* Our own memory is named as it is. */
	if (src - (uint64_t)(uintptr_t)mach_arena_base < mach_arena_size) {
		memcpy(dst, (void *)(uintptr_t)src, len);
		return true;
	}
	while (len) {
		size_t n = in_page(src, len);

		if (access_page(src, to, n, false) != DONE)
			return false;
		src += n;
		to += n;
		len -= n;
	}
	return true;
}

static int copy_user(uint64_t addr, void *buf, size_t len, bool write)
{
	char *at = buf;

	if (sim_holds_lock())
		sim_fail("program memory is accessed with a lock held");
	if (sim_current->trapped)
		sim_fail("program memory is accessed inside of the trap handler");
	sim_point();
	if (addr & HOST_BIT) {
		void *p = (void *)(uintptr_t)(addr & ~HOST_BIT);

		memcpy(write ? p : buf, write ? buf : p, len);
		return 0;
	}
	while (len) {
		size_t n = in_page(addr, len);

		enum met met;

		sim_point();
		met = access_page(addr, at, n, write);
		if (met == BUS || (met == TRAP && trapped(addr, write, true) != SIM_OK))
			return -EFAULT;
		if (met == TRAP)
			continue;
		addr += n;
		at += n;
		len -= n;
	}
	return 0;
}

int mach_copy_in(void *dst, uint64_t src, size_t len)
{
	return copy_user(src, dst, len, false);
}

int mach_copy_out(uint64_t dst, const void *src, size_t len)
{
	return copy_user(dst, (void *)(uintptr_t)src, len, true);
}

void mach_nest_begin(struct mach_entry *e)
{
	if (sim_holds_lock())
		sim_fail("a callback is called with a lock held");
	e->saved[0] = sim_current->trapped;
	e->saved[1] = sim_current->id;
	sim_current->trapped = false;
}

void mach_nest_end(const struct mach_entry *e)
{
	if (e->saved[1] != sim_current->id || sim_current->trapped)
		sim_fail("mach_nest_end does not match mach_nest_begin");
	sim_current->trapped = e->saved[0];
}
