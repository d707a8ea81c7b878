/*
 * files.c - from the program's descriptor numbers to files.
 *
 * Two levels of slots, one word a descriptor: the index of a file and its generation, and how many
 * forks there had been when it was put there. A file counts its descriptors and the operations in
 * progress, as the kernel's does: a read() that sleeps keeps it while another thread closes the
 * descriptor. Everything is lock-free, because close() may be called in a signal handler; files are
 * never unmapped, only recycled.
 *
 * A userfaultfd of this address space is open while anybody has a descriptor of it, in whatever
 * process. The machine knows (uffd_held), and is asked when the last one goes that we know of, and
 * by whoever sleeps for long. Where it does not know, our own count must do.
 */
#include "front/front.h"
#include "front/remote.h"

#include <fcntl.h>
#include <sys/mman.h>

#define TOP	  4096u
#define CHUNK	  1024u
#define MAX_FILES 16384u
/* refs of a file that is on its way out */
#define GOING 0x80000000u

typedef _Atomic uint64_t slot_t;

_Atomic bool files_used;
void (*file_gone)(struct file *f);

static _Atomic(slot_t *) top[TOP];
static struct file files[MAX_FILES];
static _Atomic uint32_t files_high; /* no file was ever used from here on */
/* Open userfaultfds with no descriptor in this process, as far as it knows. */
static _Atomic uint32_t loose;

/*
 * Whose numbers these are: the process, and the clone children that share memory and descriptors
 * with it. A vfork child shares the memory only: what it closes stays open for its parent.
 */
#define SHARERS 64u
static _Atomic int owner;
static _Atomic int sharer[SHARERS];

void files_own(void)
{
	int none = 0;

	atomic_compare_exchange_strong(&owner, &none, (int)SYS(SYS_getpid));
}

bool files_ours(void)
{
	int pid = (int)SYS(SYS_getpid);
	unsigned i;

	if (pid == atomic_load(&owner))
		return true;
	for (i = 0; i < SHARERS; i++)
		if (atomic_load(&sharer[i]) == pid)
			return true;
	return false;
}

/* A place that is free, or whose process ended without a word, goes from `from` to `to`. */
static void change_sharer(int from, int to)
{
	unsigned i;
	int was;

	for (i = 0; i < SHARERS; i++) {
		was = atomic_load(&sharer[i]);
		if ((was == from || (!from && SYS(SYS_kill, was, 0) == -ESRCH)) &&
		    atomic_compare_exchange_strong(&sharer[i], &was, to))
			return;
	}
}

void files_share(bool share)
{
	int pid = (int)SYS(SYS_getpid);

	if (pid != atomic_load(&owner))
		change_sharer(share ? 0 : pid, share ? pid : 0);
}

#define NAME_INDEX_BITS 14
_Static_assert(MAX_FILES == 1u << NAME_INDEX_BITS, "an index");

uint32_t file_name(const struct file *f)
{
	return (uint32_t)(f - files) | (atomic_load(&f->gen) & 0x3ff) << NAME_INDEX_BITS;
}

/*
 * A fork copies the descriptors first and the memory later, while other threads go on: what they
 * put into the table in between stands for descriptors that the child does not have. It knows them
 * by the number of the fork.
 */
#define FORKS_SHIFT 16
#define FORKS_MASK  (0xffffull << FORKS_SHIFT)
_Static_assert(MAX_FILES < 1u << FORKS_SHIFT, "an index and one");
static _Atomic uint32_t forks;
static __thread uint32_t this_fork;

static uint64_t forks_now(void)
{
	return (uint64_t)atomic_load(&forks) << FORKS_SHIFT & FORKS_MASK;
}

static uint64_t word_of(struct file *f)
{
	return (uint64_t)atomic_load(&f->gen) << 32 | (uint64_t)(f - files + 1);
}

static struct file *file_of(uint64_t word)
{
	return &files[(word & ((1u << FORKS_SHIFT) - 1)) - 1];
}

static slot_t *slot_of(unsigned fd)
{
	slot_t *chunk;

	if (fd >= TOP * CHUNK)
		return NULL;
	chunk = atomic_load_explicit(&top[fd / CHUNK], memory_order_acquire);
	return chunk ? &chunk[fd % CHUNK] : NULL;
}

static slot_t *make_slot(unsigned fd)
{
	slot_t *none = NULL, *chunk;
	long map;

	if (fd >= TOP * CHUNK)
		return NULL;
	if (!slot_of(fd)) {
		map = SYS(SYS_mmap, 0, CHUNK * sizeof(slot_t), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (map < 0)
			return NULL;
		chunk = (slot_t *)map;
		if (!atomic_compare_exchange_strong(&top[fd / CHUNK], &none, chunk))
			SYS(SYS_munmap, map, CHUNK * sizeof(slot_t));
	}
	return slot_of(fd);
}

static void reset(struct file *f, enum file_kind kind)
{
	f->kind = kind;
	atomic_store(&f->foreign, false);
	atomic_store(&f->nonblock, false);
	atomic_store(&f->watched, false);
	atomic_store(&f->by_write, false);
	atomic_store(&f->making, false);
	atomic_store(&f->open, false);
	atomic_store(&f->dead, false);
	atomic_store(&f->fds, 0);
	f->ctx = 0;
	f->hidden = -1;
	f->id = 0;
	f->shown = NULL;
	atomic_store(&f->spin.score, 0);
	atomic_store(&f->spin.skipped, 0);
	atomic_store(&f->spin.aside_wait, 0);
	atomic_store(&f->spin.aside_next, 0);
	f->items = NULL;
}

struct file *file_new(enum file_kind kind)
{
	uint32_t i, high;

	files_own();
	for (i = 0; i < MAX_FILES; i++) {
		struct file *f = &files[i];
		uint32_t free = 0;

		if (!atomic_compare_exchange_strong(&f->refs, &free, GOING))
			continue;
		reset(f, kind);
		do
			atomic_fetch_add(&f->gen, 1);
		while (!file_name(f));
		high = atomic_load(&files_high);
		while (high < i + 1 && !atomic_compare_exchange_weak(&files_high, &high, i + 1))
			;
		atomic_store(&f->refs, 1);
		atomic_store(&files_used, true);
		return f;
	}
	return NULL;
}

/* One more reference, unless there is none left. */
static bool hold(struct file *f)
{
	uint32_t refs = atomic_load(&f->refs);

	do {
		if (refs == 0 || refs >= GOING)
			return false;
	} while (!atomic_compare_exchange_weak(&f->refs, &refs, refs + 1));
	return true;
}

bool file_known(int fd)
{
	slot_t *slot = slot_of((unsigned)fd);

	return slot && atomic_load_explicit(slot, memory_order_relaxed);
}

struct file *file_get_slow(int fd)
{
	slot_t *slot = slot_of((unsigned)fd);
	uint64_t word;

	if (!slot)
		return NULL;
	while ((word = atomic_load_explicit(slot, memory_order_acquire)) != 0) {
		struct file *f = file_of(word);

		if (!hold(f))
			continue;
		if (atomic_load(slot) == word)
			return f;
		file_put(f);
	}
	return NULL;
}

struct file *file_by_name(uint32_t name)
{
	struct file *f = &files[name & (MAX_FILES - 1)];

	if (!hold(f))
		return NULL;
	if (file_name(f) == name)
		return f;
	file_put(f);
	return NULL;
}

static void release(struct file *f)
{
	if (file_gone)
		file_gone(f);
	if (f->kind == FILE_UFFD)
		ufd_gone(f);
}

void file_put(struct file *f)
{
	uint32_t refs = atomic_load(&f->refs);

	while (!atomic_compare_exchange_weak(&f->refs, &refs, refs == 1 ? GOING : refs - 1))
		;
	if (refs == 1) {
		release(f);
		atomic_store(&f->refs, 0);
	}
}

void file_open(struct file *f)
{
	hold(f);
	atomic_store(&f->open, true);
	atomic_fetch_add(&loose, 1);
}

/* A slot that stood for f has been emptied. */
static void leave(struct file *f)
{
	if (atomic_fetch_sub(&f->fds, 1) == 1 && atomic_load(&f->open))
		atomic_fetch_add(&loose, 1);
	file_put(f);
}

int file_attach(int fd, struct file *f)
{
	slot_t *slot;
	uint64_t old;

	if (!files_ours())
		return 0;
	slot = make_slot((unsigned)fd);
	if (!slot)
		return -EMFILE;
	hold(f);
	if (atomic_fetch_add(&f->fds, 1) == 0 && atomic_load(&f->open))
		atomic_fetch_sub(&loose, 1);
	old = atomic_exchange(slot, word_of(f) | forks_now());
	if (old)
		leave(file_of(old));
	return 0;
}

void file_detach(int fd)
{
	slot_t *slot = slot_of((unsigned)fd);
	uint64_t old;

	if (!slot || !atomic_load(slot) || !files_ours())
		return;
	old = atomic_exchange(slot, 0);
	if (old)
		leave(file_of(old));
}

/* Nobody has a descriptor any more: those that the table still has were closed without a word. */
static void close_file(struct file *f)
{
	uint64_t word = word_of(f), old;
	unsigned fd;
	slot_t *slot;

	for (fd = 0; fd < TOP * CHUNK && atomic_load(&f->fds); fd++) {
		slot = slot_of(fd);
		if (!slot) {
			fd |= CHUNK - 1;
			continue;
		}
		old = atomic_load(slot);
		if ((old & ~FORKS_MASK) == word && atomic_compare_exchange_strong(slot, &old, 0))
			leave(f);
	}
	if (atomic_exchange(&f->open, false)) {
		if (!atomic_load(&f->fds))
			atomic_fetch_sub(&loose, 1);
		file_put(f);
	}
}

/* One that is being made is open, and has no descriptor yet. */
static void settle(struct file *f, void *arg)
{
	bool all = *(bool *)arg;
	int held;

	if (!atomic_load(&f->open) || atomic_load(&f->making) || (!all && atomic_load(&f->fds)))
		return;
	held = uffd_held(f->ctx);
	if (held == 0 || (held < 0 && !atomic_load(&f->fds)))
		close_file(f);
}

void files_settle(void)
{
	bool all = false;

	if (atomic_load(&loose))
		file_each(FILE_UFFD, settle, &all);
}

bool files_any_loose(void)
{
	return atomic_load(&loose);
}

void files_look(void)
{
	bool all = true;

	file_each(FILE_UFFD, settle, &all);
}

void file_detach_range(unsigned first, unsigned last)
{
	unsigned fd = first;

	if (!atomic_load(&files_used))
		return;
	if (last >= TOP * CHUNK)
		last = TOP * CHUNK - 1;
	while (fd <= last) {
		if (!slot_of(fd)) {
			fd = (fd / CHUNK + 1) * CHUNK;
			continue;
		}
		file_detach((int)fd++);
	}
}

void file_each(enum file_kind kind, void (*fn)(struct file *f, void *arg), void *arg)
{
	uint32_t i, high = atomic_load(&files_high);

	for (i = 0; i < high; i++) {
		struct file *f = &files[i];

		if (f->kind != kind || !hold(f))
			continue;
		if (f->kind == kind)
			fn(f, arg);
		file_put(f);
	}
}

void files_fork(void)
{
	this_fork = atomic_fetch_add(&forks, 1) + 1;
}

/* Is it, in this process, what the table says? */
static bool stands_for(int fd, const struct file *f)
{
	return f->kind == FILE_UFFD ? remote_fd_id(fd) == f->id : SYS(SYS_fcntl, fd, F_GETFD) >= 0;
}

static void forget_strangers(void)
{
	uint64_t word;
	unsigned fd;
	slot_t *slot;

	for (fd = 0; fd < TOP * CHUNK; fd++) {
		slot = slot_of(fd);
		if (!slot) {
			fd |= CHUNK - 1;
			continue;
		}
		word = atomic_load(slot);
		if (word && (int16_t)((word >> FORKS_SHIFT) - this_fork) >= 0 &&
		    !stands_for((int)fd, file_of(word)))
			file_detach((int)fd);
	}
}

void files_child(void)
{
	uint32_t i, high = atomic_load(&files_high);

	if (atomic_load(&owner))
		atomic_store(&owner, (int)SYS(SYS_getpid));
	for (i = 0; i < SHARERS; i++)
		atomic_store(&sharer[i], 0);
	atomic_store(&loose, 0);
	for (i = 0; i < high; i++) {
		struct file *f = &files[i];

		if (!atomic_load(&f->refs))
			continue;
		atomic_store(&f->foreign, true);
		f->hidden = -1;
		f->lock = (struct mach_lock){0};
		if (atomic_exchange(&f->open, false))
			file_put(f);
	}
	forget_strangers();
}
