/*
 * types.c - memory whose pages the program makes and saves.
 *
 * A mapping is named to the mm by its place in a pool and the generation it had, so that a function
 * which is about to run when the mapping goes finds that it is gone. Its place is free again once
 * no memory is left that belongs to it.
 */
#include "front/types.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mm/direct.h"
#include "types/program.h"

#define EXPORT	     __attribute__((visibility("default")))
#define MAX_MAPPINGS 1024u

struct mapping {
	_Atomic uint32_t used;
	_Atomic uint32_t gen; /* odd: open */
	_Atomic uint32_t running;
	struct mach_lock lock; /* one of its functions at a time */
	struct uf_type type;
	void *arg;
	void *again; /* one page: what fetch makes, to compare */
	_Atomic uint64_t fetched, saved, dropped, errors, short_pages;
	_Atomic int last_error;
};

static struct mapping pool[MAX_MAPPINGS];
_Atomic bool types_used;

static uint64_t name_of(const struct mapping *m)
{
	return (uint64_t)atomic_load(&m->gen) << 16 | (uint64_t)(m - pool) << 1 |
	       (m->type.flags & UF_TYPE_EMPTY ? PROGRAM_EMPTY : 0);
}

/* The mapping of that name, locked, or NULL: it is gone. Its functions may set errno. */
static struct mapping *mapping_enter(uint64_t name, int *saved_errno)
{
	struct mapping *m = &pool[(name & 0xffff) >> 1];

	*saved_errno = errno;
	atomic_fetch_add(&m->running, 1);
	if (atomic_load(&m->used) && name_of(m) == name) {
		mach_lock(&m->lock);
		return m;
	}
	atomic_fetch_sub(&m->running, 1);
	return NULL;
}

static void mapping_leave(struct mapping *m, int saved_errno)
{
	errno = saved_errno;
	mach_unlock(&m->lock);
	atomic_fetch_sub(&m->running, 1);
}

/* What a function of the program's answered: 0 when it did the whole page. */
static int judge(struct mapping *m, ssize_t answer)
{
	int err = answer < 0 ? (int)answer : -EIO;

	if (answer == (ssize_t)UF_PAGE_SIZE)
		return 0;
	if (answer >= 0)
		atomic_fetch_add(&m->short_pages, 1);
	atomic_fetch_add(&m->errors, 1);
	atomic_store(&m->last_error, err);
	return err;
}

static int do_fetch(uint64_t name, uint64_t page, void *buf)
{
	int saved, err;
	struct mapping *m = mapping_enter(name, &saved);

	if (!m)
		return -EIO;
	err = m->type.fetch ? judge(m, m->type.fetch(m->arg, page, buf, UF_PAGE_SIZE)) : -EIO;
	if (!err)
		atomic_fetch_add(&m->fetched, 1);
	mapping_leave(m, saved);
	return err;
}

/* Nobody saves it: it may go if it can be had again. */
static int made_again(struct mapping *m, uint64_t page, const void *buf)
{
	if (!m->type.fetch || (m->type.flags & UF_TYPE_EMPTY))
		return -EBUSY;
	if (judge(m, m->type.fetch(m->arg, page, m->again, UF_PAGE_SIZE)))
		return -EBUSY;
	return memcmp(m->again, buf, UF_PAGE_SIZE) == 0 ? 0 : -EBUSY;
}

static int do_writeback(uint64_t name, uint64_t page, const void *buf)
{
	int saved, err;
	struct mapping *m = mapping_enter(name, &saved);

	if (!m)
		return -EIO;
	if (m->type.writeback)
		err = judge(m, m->type.writeback(m->arg, page, buf, UF_PAGE_SIZE));
	else
		err = made_again(m, page, buf);
	if (!err)
		atomic_fetch_add(&m->saved, 1);
	mapping_leave(m, saved);
	return err;
}

static void do_drop(const struct mm_place *first, uint64_t n)
{
	int saved;
	struct mapping *m = mapping_enter(first->owner, &saved);

	if (!m)
		return;
	if (m->type.drop)
		m->type.drop(m->arg, first->page, n);
	atomic_fetch_add(&m->dropped, n);
	mapping_leave(m, saved);
}

int types_discard(uint64_t addr, uint64_t len)
{
	struct mach_entry entry;
	int err;

	if (likely(!atomic_load_explicit(&types_used, memory_order_relaxed)))
		return 0;
	mach_enter(&entry);
	err = mm_discard(mm_space_self, &mm_type_program, addr, len, do_drop);
	mach_leave(&entry);
	return err;
}

/* ---- The pool ----------------------------------------------------------------------------------
 */

static void mapping_free(struct mapping *m)
{
	atomic_fetch_add(&m->gen, 1);
	while (atomic_load(&m->running))
		sched_yield();
	free(m->again);
	m->again = NULL;
	atomic_store(&m->used, 0);
}

/* Whose memory has gone, without a word to us. */
static void collect(void)
{
	struct mach_entry entry;
	uint32_t i, ready;
	bool owned;

	for (i = 0; i < MAX_MAPPINGS; i++) {
		if (atomic_load(&pool[i].used) != 2)
			continue;
		mach_enter(&entry);
		owned = mm_owned(mm_space_self, &mm_type_program, name_of(&pool[i]));
		mach_leave(&entry);
		ready = 2;
		if (!owned && atomic_compare_exchange_strong(&pool[i].used, &ready, 1))
			mapping_free(&pool[i]);
	}
}

/* used: 0 free, 1 being set up or taken down, 2 in use. */
static struct mapping *mapping_new(const struct uf_type *type, void *arg)
{
	struct mapping *m;
	uint32_t i, none;

	collect();
	for (i = 0; i < MAX_MAPPINGS; i++) {
		m = &pool[i];
		none = 0;
		if (!atomic_compare_exchange_strong(&m->used, &none, 1))
			continue;
		m->type = *type;
		m->arg = arg;
		m->again = type->writeback ? NULL : malloc(UF_PAGE_SIZE);
		m->fetched = m->saved = m->dropped = m->errors = m->short_pages = 0;
		m->last_error = 0;
		atomic_store(&m->lock.word, 0);
		atomic_fetch_add(&m->gen, 1);
		if (type->writeback || m->again)
			return m;
		mapping_free(m);
		break;
	}
	return NULL;
}

void types_child(void)
{
	struct mapping *m;

	for (m = pool; m < pool + MAX_MAPPINGS; m++) {
		atomic_store(&m->running, 0);
		m->lock = (struct mach_lock){0};
	}
}

/* ---- The calls ---------------------------------------------------------------------------------
 */

static bool valid(const struct uf_type *type, size_t len)
{
	return type && len && len <= mach_task_size() && !(type->flags & ~UF_TYPE_EMPTY) &&
	       (type->fetch || ((type->flags & UF_TYPE_EMPTY) && !type->writeback));
}

static long map(struct mapping *m, void *addr, size_t len, int prot)
{
	long at = mem_mmap((uintptr_t)addr, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			   -1, 0);
	struct mach_entry entry;
	int err;

	if ((unsigned long)at >= -4095ul)
		return at;
	mem_note_managed((uint64_t)at, len);
	mach_enter(&entry);
	err = mm_manage(mm_space_self, &mm_type_program, name_of(m), (uint64_t)at, len);
	mach_leave(&entry);
	if (err)
		SYS(SYS_munmap, at, len);
	return err ? err : at;
}

EXPORT void *uf_type_map(const struct uf_type *type, void *arg, void *addr, size_t len, int prot,
			 int *error)
{
	static const struct program_ops ops = {.fetch = do_fetch, .writeback = do_writeback};
	struct mapping *m = NULL;
	long at = valid(type, len) ? front_start() : -EINVAL;

	if (!at) {
		program_set_ops(&ops);
		atomic_store(&types_used, true);
		m = mapping_new(type, arg);
		at = m ? 0 : -ENOMEM;
	}
	if (!at) {
		len = (len + UF_PAGE_SIZE - 1) & UF_PAGE_MASK;
		at = map(m, addr, len, prot);
		if ((unsigned long)at >= -4095ul)
			mapping_free(m);
		else
			atomic_store(&m->used, 2);
	}
	if (error)
		*error = (unsigned long)at >= -4095ul ? (int)at : 0;
	return (unsigned long)at >= -4095ul ? MAP_FAILED : (void *)at;
}

EXPORT int uf_type_get_stats(void *addr, struct uf_type_stats *out)
{
	struct mach_entry entry;
	struct mm_place place;
	struct mapping *m;
	int err;

	if (!atomic_load(&types_used))
		return -ENOENT;
	mach_enter(&entry);
	err = mm_place(mm_space_self, &mm_type_program, (uintptr_t)addr, &place);
	mach_leave(&entry);
	if (err)
		return err;
	m = &pool[(place.owner & 0xffff) >> 1];
	*out = (struct uf_type_stats){
		.fetched = atomic_load(&m->fetched),
		.saved = atomic_load(&m->saved),
		.dropped = atomic_load(&m->dropped),
		.errors = atomic_load(&m->errors),
		.short_pages = atomic_load(&m->short_pages),
		.last_error = atomic_load(&m->last_error),
	};
	return 0;
}
