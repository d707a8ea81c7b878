/* siblings.c - who is alive of those that share this memory, and what the dead have left. */
#include "machine/host/siblings.h"
#include "machine/host/internal.h"

#include <linux/kcmp.h>

struct siblings siblings;

/* ---- Who is alive ---- */

/* Field `which` of /proc/PID/stat, from the third on, at *at; false: no such process. */
static bool stat_field(uint32_t pid, int which, char *buf, size_t size, const char **at)
{
	char path[32] = "/proc/";
	size_t len = 6;
	const char *p;
	long got;

	host_put_number(path, &len, pid);
	memcpy(path + len, "/stat", 6);
	got = host_read_file(path, buf, size);
	if (got <= 0)
		return false;
	for (p = buf + got; p > buf && *p != ')'; p--)
		;
	for (int field = 2; *p && field < which; p++)
		field += *p == ' ';
	*at = p;
	return true;
}

static bool ended(uint32_t pid)
{
	char buf[512];
	const char *state;

	return !stat_field(pid, 3, buf, sizeof(buf), &state) || *state == 'Z' || *state == 'X';
}

/* Other threads may go on where the first one has ended. */
static bool last_thread(uint32_t pid)
{
	char buf[512];
	const char *threads;

	return !stat_field(pid, 20, buf, sizeof(buf), &threads) || host_parse_number(&threads) <= 1;
}

/* Who has this number now may be somebody else, in other memory. */
static bool thread_gone(uint32_t tid)
{
	long same = cpu_syscall6(SYS_kcmp, (long)sys_getpid(), (long)tid, KCMP_VM, 0, 0, 0);

	if (same == 0)
		return false;
	return same > 0 || same == -ESRCH || ended(tid);
}

bool siblings_gone(uint32_t name)
{
	uint32_t first = atomic_load(&siblings.first);

	if (!siblings_expected())
		return false;
	if (name != UNNAMED)
		return name != sys_gettid() && thread_gone(name);
	return first != sys_getpid() && ended(first) && last_thread(first);
}

void host_expect_siblings(void)
{
	if (!atomic_load(&siblings.expected)) {
		atomic_store(&siblings.first, sys_getpid());
		atomic_store(&siblings.expected, true);
	}
}

/* ---- Readers ---- */

#define READERS 1024u

static struct reader {
	_Atomic uint32_t tid; /* 0: free */
	_Atomic(const struct mach_rwlock *) lock;
} readers[READERS];

bool readers_enter(const struct mach_rwlock *l)
{
	uint32_t tid = sys_gettid();

	for (uint32_t i = 0; i < READERS; i++) {
		struct reader *r = &readers[(tid + i) % READERS];
		uint32_t free = 0;

		if (atomic_load_explicit(&r->tid, memory_order_relaxed) == 0 &&
		    atomic_compare_exchange_strong(&r->tid, &free, tid)) {
			atomic_store(&r->lock, l);
			return true;
		}
	}
	return false;
}

static void forget(struct reader *r)
{
	atomic_store(&r->lock, NULL);
	atomic_store(&r->tid, 0);
}

bool readers_leave(const struct mach_rwlock *l)
{
	uint32_t tid = sys_gettid();

	for (uint32_t i = 0; i < READERS; i++) {
		struct reader *r = &readers[(tid + i) % READERS];

		if (atomic_load_explicit(&r->tid, memory_order_relaxed) == tid &&
		    atomic_load_explicit(&r->lock, memory_order_relaxed) == l) {
			forget(r);
			return true;
		}
	}
	return false;
}

/* One that died before it named the lock takes up a place, and no more. */
bool readers_any(const struct mach_rwlock *l, bool clean)
{
	bool any = false;

	for (uint32_t i = 0; i < READERS; i++) {
		struct reader *r = &readers[i];
		const struct mach_rwlock *of = atomic_load(&r->lock);
		uint32_t tid = clean || of == l ? atomic_load(&r->tid) : 0;

		if (tid == 0)
			continue;
		if (clean && siblings_gone(tid)) {
			siblings_note_death();
			forget(r);
		} else if (of == l) {
			any = true;
		}
	}
	return any;
}

void siblings_after_fork(void)
{
	memset(readers, 0, sizeof(readers));
	atomic_store(&siblings.expected, false);
}

/* ---- What they have left ---- */

/*
 * Whoever changes a page in the host sets its byte before or after. Closed, without guards, both
 * are as they were at the beginning, and what should be open opens when it is touched.
 */
static void close_segment(const struct host_segment *s)
{
	struct host_map *hm = arena_at(s->map);

	mach_write_lock(&hm->lock);
	/* Whatever the bytes say, the host is asked. */
	tlb_protect_always(hm, s->addr, s->first, s->npages, PROT_NONE);
	if (hm->trap == &trap_guard)
		sys_madvise(s->addr, s->npages << UF_PAGE_SHIFT, MADV_GUARD_REMOVE);
	for (uint64_t page = s->first; page < s->first + s->npages; page++)
		hm->tlb[page] &= (uint8_t) ~(TLB_PROT | TLB_GUARD | TLB_SEEN);
	mach_write_unlock(&hm->lock);
}

void siblings_mend(void)
{
	if (!atomic_exchange(&siblings.torn, false))
		return;
	mach_read_lock(&registry.lock);
	for (uint32_t i = 0; i < registry.count; i++)
		close_segment(&registry.segments[i]);
	mach_read_unlock(&registry.lock);
}
