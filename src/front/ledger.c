/*
 * ledger.c - this process's place in the session.
 *
 * A slot is claimed by locking its byte, which succeeds when its owner is dead: slots are used
 * again, the lowest first, so that the ledger of a long session stays small. What the dead one
 * counted is added to the header's sums first.
 */
#include "front/ledger.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define PARENTS_MAX 64
#define MAP_BYTES   SESSION_DOORS_AT /* the header and the slots */

static struct {
	struct mach_lock lock; /* attaching and claiming */
	_Atomic int fd;	       /* the ledger, as inherited; -1: none */
	_Atomic int own;       /* our own description of it, which holds the slot's lock */
	_Atomic uint32_t slot; /* LEDGER_NO_SLOT: none */
	_Atomic(struct session_header *) map;
	/* What the environment says; ino 0: nothing. */
	int named_fd;
	uint64_t named_ino;
} ledger = {.fd = -1, .own = -1, .slot = LEDGER_NO_SLOT};

static _Atomic(struct session_door *) doors[SESSION_SLOTS];

bool ledger_hides(int fd)
{
	return fd >= 0 && (fd == atomic_load_explicit(&ledger.fd, memory_order_relaxed) ||
			   fd == atomic_load_explicit(&ledger.own, memory_order_relaxed));
}

int ledger_descriptor(void)
{
	return atomic_load_explicit(&ledger.fd, memory_order_relaxed);
}

/* ---- small things of the host ------------------------------------------------------------------
 */

static uint64_t inode_of(int fd)
{
	struct stat st;

	return SYS(SYS_fstat, fd, &st) == 0 && S_ISREG(st.st_mode) ? st.st_ino : 0;
}

static char *put_text(char *to, const char *text)
{
	while (*text)
		*to++ = *text++;
	*to = 0;
	return to;
}

static char *put_number(char *to, uint64_t n)
{
	char digits[20];
	unsigned i = 0;

	do {
		digits[i++] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	while (i)
		*to++ = digits[--i];
	*to = 0;
	return to;
}

static const char *parse_number(const char *p, uint64_t *n)
{
	for (*n = 0; *p >= '0' && *p <= '9'; p++)
		*n = *n * 10 + (uint64_t)(*p - '0');
	return p;
}

/* A field of /proc/PID/stat, counted from 1, beyond the name: 4 the parent, 22 the start. */
static uint64_t stat_field(uint64_t pid, int field)
{
	char path[40], text[512];
	const char *p;
	uint64_t value;
	long fd, n;
	int at;

	put_text(put_number(put_text(path, "/proc/"), pid), "/stat");
	fd = SYS(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = SYS(SYS_read, fd, text, sizeof(text) - 1);
	SYS(SYS_close, fd);
	if (n <= 0)
		return 0;
	text[n] = 0;
	for (p = text + n; p > text && *p != ')'; p--)
		;
	for (at = 2; *p && at < field; p++)
		at += *p == ' ';
	parse_number(p, &value);
	return value;
}

/* High, where the program does not look; fd itself is closed. */
static int move_up(int fd, bool cloexec)
{
	int floor = host_fd_floor(), high = -EMFILE;

	for (; fd >= 0 && high < 0 && floor > 3; floor /= 2)
		high = (int)SYS(SYS_fcntl, fd, cloexec ? F_DUPFD_CLOEXEC : F_DUPFD, floor);
	if (fd >= 0)
		SYS(SYS_close, fd);
	return fd < 0 ? fd : high;
}

/* ---- finding the session -----------------------------------------------------------------------
 */

void ledger_environment(void)
{
	const char *p = getenv(SESSION_ENV);
	uint64_t fd, ino;

	if (!p)
		return;
	p = parse_number(p, &fd);
	if (*p != ':')
		return;
	p = parse_number(p + 1, &ino);
	if (*p || fd > INT32_MAX || !ino)
		return;
	ledger.named_fd = (int)fd;
	ledger.named_ino = ino;
	if (inode_of((int)fd) == ino)
		atomic_store(&ledger.fd, (int)fd);
}

bool ledger_named(void)
{
	return ledger.named_ino;
}

/* This process has closed it. Its parents have it under the same number, some of them. */
static int find_in_parents(void)
{
	uint64_t pid = (uint64_t)SYS(SYS_getpid);
	char path[64];
	long fd;
	int i;

	for (i = 0; i < PARENTS_MAX && (pid = stat_field(pid, 4)) != 0; i++) {
		put_number(put_text(put_number(put_text(path, "/proc/"), pid), "/fd/"),
			   (uint64_t)ledger.named_fd);
		fd = SYS(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (inode_of((int)fd) == ledger.named_ino)
			return move_up((int)fd, true);
		SYS(SYS_close, fd);
	}
	return -ENOENT;
}

static int find_named(void)
{
	int fd = atomic_load(&ledger.fd);

	if (fd >= 0 && inode_of(fd) == ledger.named_ino)
		return fd;
	return find_in_parents();
}

/* A limit on the size of files counts for this one, too, though it takes no room. */
static int set_size(int fd)
{
	struct rlimit limit, wide;
	long err = SYS(SYS_prlimit64, 0, RLIMIT_FSIZE, NULL, &limit);

	if (err < 0 || limit.rlim_cur >= SESSION_SIZE)
		return (int)SYS(SYS_ftruncate, fd, SESSION_SIZE);
	if (limit.rlim_max < SESSION_SIZE)
		return -EFBIG;
	wide = (struct rlimit){limit.rlim_max, limit.rlim_max};
	SYS(SYS_prlimit64, 0, RLIMIT_FSIZE, &wide, NULL);
	err = SYS(SYS_ftruncate, fd, SESSION_SIZE);
	SYS(SYS_prlimit64, 0, RLIMIT_FSIZE, &limit, NULL);
	return (int)err;
}

static uint64_t random_id(void)
{
	uint64_t id = 0;

	if (SYS(SYS_getrandom, &id, sizeof(id), 1 /* GRND_NONBLOCK */) != sizeof(id))
		id = mach_now() * 0x9e3779b97f4a7c15ull ^ (uint64_t)SYS(SYS_getpid) << 40;
	return id ? id : 1;
}

static int make_own(void)
{
	struct session_header h = {
		SESSION_LAYOUT,
		.id = random_id(),
		.maker = (uint32_t)SYS(SYS_getpid),
	};
	int fd = move_up((int)SYS(SYS_memfd_create, SESSION_FILE_NAME, 1u /* MFD_CLOEXEC */), true);
	int err;

	if (fd < 0)
		return fd;
	SYS(SYS_fchmod, fd, 0600);
	SYS(SYS_prctl, PR_GET_NAME, h.program);
	err = set_size(fd);
	if (!err && SYS(SYS_pwrite64, fd, &h, sizeof(h), 0) != sizeof(h))
		err = -ENOMEM;
	if (err) {
		SYS(SYS_close, fd);
		return err;
	}
	return fd;
}

static int map_ledger(int fd, const char **why)
{
	struct session_header *h;
	struct stat st;
	long map;

	if (SYS(SYS_fstat, fd, &st) < 0 || st.st_size < (off_t)SESSION_SLOTS_AT) {
		*why = "the descriptor that " SESSION_ENV " names is no session of Userfault's";
		return -EINVAL;
	}
	map = SYS(SYS_mmap, 0, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
		  0);
	if (map < 0 && map >= -4095) {
		*why = "there is no room to map the session's ledger: a limit on address space is "
		       "too small";
		return (int)map;
	}
	h = (struct session_header *)map;
	switch (session_valid(h, (uint64_t)st.st_size)) {
	case SESSION_GOOD:
		SYS(SYS_madvise, map, MAP_BYTES, MADV_DONTDUMP);
		atomic_store(&ledger.map, h);
		return 0;
	case SESSION_OLD:
		*why = "the session was begun by another version of Userfault; start it anew";
		break;
	case SESSION_FOREIGN:
		*why = "the descriptor that " SESSION_ENV " names is no session of Userfault's";
		break;
	}
	SYS(SYS_munmap, map, MAP_BYTES);
	return -EINVAL;
}

static int attach(const char **why)
{
	int fd, err;

	if (atomic_load(&ledger.map))
		return 0;
	fd = ledger.named_ino ? find_named() : make_own();
	if (fd < 0) {
		*why = ledger.named_ino
			       ? "the session's descriptor is closed, here and in all parents"
			       : "a session cannot be made: a limit on descriptors, file size or "
				 "memory is too small";
		return fd;
	}
	err = map_ledger(fd, why);
	if (!err || ledger.named_ino)
		atomic_store(&ledger.fd, err ? -1 : fd);
	else
		SYS(SYS_close, fd);
	return err;
}

int ledger_attach(const char **why)
{
	struct mach_entry entry;
	int err;

	if (atomic_load(&ledger.map))
		return 0;
	mach_enter(&entry);
	mach_lock(&ledger.lock);
	err = attach(why);
	mach_unlock(&ledger.lock);
	mach_leave(&entry);
	return err;
}

const struct session_header *ledger_header(void)
{
	return atomic_load(&ledger.map);
}

/* ---- slots -------------------------------------------------------------------------------------
 */

struct session_slot *ledger_slot(uint32_t number)
{
	struct session_header *h = atomic_load(&ledger.map);

	if (!h || number >= SESSION_SLOTS)
		return NULL;
	return (struct session_slot *)((char *)h + SESSION_SLOTS_AT) + number;
}

struct session_slot *ledger_own(uint32_t *number)
{
	uint32_t slot = atomic_load_explicit(&ledger.slot, memory_order_acquire);

	if (number)
		*number = slot;
	return slot == LEDGER_NO_SLOT ? NULL : ledger_slot(slot);
}

static long lock_slot(int fd, int cmd, uint32_t number, short *type)
{
	struct flock lock = {.l_type = *type, .l_start = number, .l_len = 1};
	long err = SYS(SYS_fcntl, fd, cmd, &lock);

	*type = lock.l_type;
	return err;
}

bool ledger_alive(uint32_t number, uint32_t generation)
{
	struct session_slot *s = ledger_slot(number);
	short type = F_WRLCK;

	if (!s || atomic_load(&s->state) != SLOT_LIVE ||
	    (atomic_load(&s->generation) & 0xfff) != (generation & 0xfff))
		return false;
	/* One's own lock is in nobody's way. */
	if (number == atomic_load(&ledger.slot))
		return true;
	return lock_slot(atomic_load(&ledger.fd), F_OFD_GETLK, number, &type) == 0 &&
	       type != F_UNLCK;
}

static void add_departed(struct session_header *h, struct session_slot *s)
{
	uint64_t mappings = atomic_load(&s->stats.count[MM_STAT_MAPPINGS]);
	uint64_t max = atomic_load(&s->stats.latency_max);
	unsigned i;

	for (i = 0; i < MM_STAT_MAX; i++)
		mm_stat_add(&h->departed_stats, i, atomic_load(&s->stats.count[i]));
	for (i = 0; i < MM_LATENCY_BUCKETS; i++)
		atomic_fetch_add(&h->departed_stats.latency[i], atomic_load(&s->stats.latency[i]));
	if (max > atomic_load(&h->departed_stats.latency_max))
		atomic_store(&h->departed_stats.latency_max, max);
	if (mappings >= atomic_load(&h->departed_mappings)) {
		atomic_store(&h->departed_mappings, mappings);
		atomic_store(&h->departed_budget, atomic_load(&s->stats.count[MM_STAT_BUDGET]));
	}
	atomic_fetch_or(&h->departed_traps, s->trap[0] == 'g' ? 1 : s->trap[0] == 'm' ? 2 : 0);
	atomic_fetch_add(&h->departed, 1);
}

/* The lock is ours: whoever had it is dead. What it left in its door goes back to the system. */
static void clear_slot(struct session_header *h, struct session_slot *s, uint32_t number)
{
	uint32_t generation = atomic_load(&s->generation) + 1;
	bool counted = atomic_load(&s->state) == SLOT_LIVE && (atomic_load(&s->roles) & SLOT_OWNER);

	atomic_store(&s->state, SLOT_SETUP);
	if (counted)
		add_departed(h, s);
	if (atomic_load(&s->door_used))
		SYS(SYS_fallocate, atomic_load(&ledger.fd),
		    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		    SESSION_DOORS_AT + number * sizeof(struct session_door),
		    sizeof(struct session_door));
	memset((char *)s + offsetof(struct session_slot, pid), 0,
	       sizeof(*s) - offsetof(struct session_slot, pid));
	/* 12 bits of it tell one user of the slot from the next, and 0 is nobody. */
	atomic_store(&s->generation, generation & 0xfff ? generation : generation + 1);
}

static void fill_slot(struct session_slot *s)
{
	uint64_t pid = (uint64_t)SYS(SYS_getpid);
	struct stat st;

	atomic_store(&s->pid, (uint32_t)pid);
	s->started = stat_field(pid, 22);
	if (SYS(SYS_newfstatat, AT_FDCWD, "/proc/self/ns/pid", &st, 0) == 0)
		s->pid_ns = st.st_ino;
	SYS(SYS_prctl, PR_GET_NAME, s->comm);
	strncpy(s->trap, host_trap_name(), sizeof(s->trap) - 1);
}

static int take_slot(struct session_header *h, int own)
{
	struct session_slot *s = (struct session_slot *)((char *)h + SESSION_SLOTS_AT);
	uint32_t i, high;
	short type;

	for (i = 0; i < SESSION_SLOTS; i++, s++) {
		type = F_WRLCK;
		if (lock_slot(own, F_OFD_SETLK, i, &type) < 0)
			continue;
		/* A page that cannot be had is an error now, and a SIGBUS later. */
		if (SYS(SYS_fallocate, own, 0, SESSION_SLOTS_AT + i * sizeof(struct session_slot),
			sizeof(struct session_slot)) < 0)
			return -ENOMEM;
		clear_slot(h, s, i);
		fill_slot(s);
		for (high = atomic_load(&h->high); high < i + 1;)
			atomic_compare_exchange_weak(&h->high, &high, i + 1);
		atomic_store(&s->state, SLOT_LIVE);
		return (int)i;
	}
	return -EUSERS;
}

static int claim(const char **why)
{
	int fd, slot, err = attach(why);
	char path[40];

	if (err || atomic_load(&ledger.slot) != LEDGER_NO_SLOT)
		return err;
	put_number(put_text(path, "/proc/self/fd/"), (uint64_t)atomic_load(&ledger.fd));
	fd = move_up((int)SYS(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC), true);
	if (fd < 0) {
		*why = "the session's ledger cannot be opened: there is no /proc, or a limit on "
		       "descriptors is too small";
		return fd;
	}
	slot = take_slot(atomic_load(&ledger.map), fd);
	if (slot < 0) {
		SYS(SYS_close, fd);
		*why = slot == -EUSERS ? "there are too many processes in the session"
				       : "there is no memory for a place in the session";
		return slot;
	}
	atomic_store(&ledger.own, fd);
	atomic_store(&ledger.slot, (uint32_t)slot);
	return 0;
}

int ledger_claim(const char **why)
{
	struct mach_entry entry;
	int err;

	if (atomic_load(&ledger.slot) != LEDGER_NO_SLOT)
		return 0;
	mach_enter(&entry);
	mach_lock(&ledger.lock);
	err = claim(why);
	mach_unlock(&ledger.lock);
	mach_leave(&entry);
	return err;
}

void ledger_role(enum session_slot_role role)
{
	struct session_slot *s = ledger_own(NULL);

	if (s && !(atomic_load(&s->roles) & role))
		atomic_fetch_or(&s->roles, role);
}

struct session_door *ledger_door(uint32_t number)
{
	struct session_door *none = NULL, *door;
	long map;

	if (number >= SESSION_SLOTS || !atomic_load(&ledger.map))
		return NULL;
	door = atomic_load_explicit(&doors[number], memory_order_acquire);
	if (door)
		return door;
	map = SYS(SYS_mmap, 0, sizeof(*door), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
		  atomic_load(&ledger.fd),
		  SESSION_DOORS_AT + (uint64_t)number * sizeof(struct session_door));
	if (map < 0 && map >= -4095)
		return NULL;
	SYS(SYS_madvise, map, sizeof(*door), MADV_DONTDUMP);
	door = (struct session_door *)map;
	if (!atomic_compare_exchange_strong(&doors[number], &none, door)) {
		SYS(SYS_munmap, map, sizeof(*door));
		door = none;
	}
	return door;
}

/* Without a slot the process's number tells its descriptors from those of others. */
uint64_t ledger_fd_id(uint32_t name)
{
	const struct session_header *h = ledger_header();
	uint32_t number, pid;
	struct session_slot *s = ledger_own(&number);

	if (s)
		return session_fd_id(session_tag(h->id), number, atomic_load(&s->generation), name);
	pid = (uint32_t)SYS(SYS_getpid);
	return session_fd_id(pid & 0x7fff, pid >> 15, 0x800, name);
}

unsigned ledger_asleep(uint64_t addr, bool event)
{
	struct session_slot *s = ledger_own(NULL);
	uint32_t tid = (uint32_t)SYS(SYS_gettid);
	unsigned i;

	if (!s)
		return SESSION_WAITERS;
	atomic_fetch_add(&s->waiting, 1);
	for (i = 0; i < SESSION_WAITERS; i++) {
		struct session_waiter *w = &s->waiter[i];
		uint32_t none = 0;

		if (atomic_load(&w->tid) || !atomic_compare_exchange_strong(&w->tid, &none, tid))
			continue;
		w->event = event;
		w->addr = addr;
		w->since = mach_now();
		return i;
	}
	return SESSION_WAITERS;
}

void ledger_awake(unsigned place)
{
	struct session_slot *s = ledger_own(NULL);

	if (!s)
		return;
	atomic_fetch_sub(&s->waiting, 1);
	if (place < SESSION_WAITERS)
		atomic_store(&s->waiter[place].tid, 0);
}

/* Made with CLONE_FILES: what it closes is closed for its parent, too. */
static bool shares_descriptors(uint32_t parent)
{
	return SYS(SYS_kcmp, parent, SYS(SYS_getpid), 2 /* KCMP_FILES */, 0, 0) == 0;
}

void ledger_child(void)
{
	const struct session_slot *parents = ledger_own(NULL);
	int own = atomic_exchange(&ledger.own, -1);

	if (own >= 0 && !(parents && shares_descriptors(atomic_load(&parents->pid))))
		SYS(SYS_close, own);
	atomic_store(&ledger.slot, LEDGER_NO_SLOT);
	ledger.lock = (struct mach_lock){0};
}
