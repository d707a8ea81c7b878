/*
 * door.c - requests of other processes, done by this one.
 *
 * Everything in a cell may be garbage: what is used is copied first, and checked. What a request
 * names is a context of this address space by its name, never an address.
 */
#include "front/door.h"

#include "front/ledger.h"
#include "front/pass.h"

#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <userfault/abi.h>

/* How long the service thread looks for the next request before it sleeps. */
#define SPIN_NS	   60000u
#define SPIN_LOOKS 32

/* It takes a process longer to die: requests that have waited so long may be a dead one's. */
#define FRESH_NS 50000u

/* How often who waits for a descriptor to be fetched looks whether its reader lives. */
#define FETCH_LOOK_NS 20000000

/* The service thread's memory: a stack, and what stands in for thread-local storage. */
#define STACK_BYTES (128u << 10)
#define TLS_BYTES   (64u << 10)

/* ---- one request -------------------------------------------------------------------------------
 */

static struct file *context_of(uint32_t name)
{
	struct file *f = file_by_name(name);

	if (f && f->kind == FILE_UFFD && !atomic_load(&f->foreign) && f->ctx)
		return f;
	if (f)
		file_put(f);
	return NULL;
}

/*
 * Descriptors that stand in FORK messages which another process has read: it fetches each, and says
 * so; when it dies instead, it is closed here.
 */
static struct {
	_Atomic uint32_t reader; /* its cell's word; 0: free */
	_Atomic int hidden;	 /* that it is a duplicate of */
	_Atomic int fd;		 /* 0: not yet, or not any more */
} fetched[SESSION_FETCHED];
static _Atomic uint32_t fetching;
static _Atomic uint32_t fetches; /* goes up with each that has ended */

struct answer {
	struct session_cell *cell;
	int flags; /* of the context */
};

static int keep_for_reader(int hidden, int flags, void *arg)
{
	const struct answer *a = arg;
	int fd = host_hide_dup(hidden);
	uint32_t none;
	unsigned i;

	(void)flags;
	for (i = 0; i < SESSION_FETCHED && fd > 0; i++) {
		none = 0;
		if (!atomic_compare_exchange_strong(&fetched[i].reader, &none,
						    atomic_load(&a->cell->word)))
			continue;
		atomic_store(&fetched[i].hidden, hidden);
		atomic_store(&fetched[i].fd, fd);
		atomic_fetch_add(&fetching, 1);
		return fd;
	}
	if (fd > 0)
		host_close_hidden(fd);
	return fd > 0 ? -EMFILE : fd;
}

static unsigned find_fetched(uint64_t fd)
{
	unsigned i;

	for (i = 0; i < SESSION_FETCHED; i++)
		if (fd && (uint64_t)atomic_load(&fetched[i].fd) == fd)
			return i;
	return SESSION_FETCHED;
}

static int64_t drop_fetched(uint64_t fd)
{
	unsigned i = find_fetched(fd);
	int had = i < SESSION_FETCHED ? atomic_exchange(&fetched[i].fd, 0) : 0;

	if (!had)
		return -EBADF;
	host_close_hidden(had);
	atomic_store(&fetched[i].reader, 0);
	atomic_fetch_sub(&fetching, 1);
	atomic_fetch_add(&fetches, 1);
	SYS(SYS_futex, &fetches, FUTEX_WAKE, INT32_MAX);
	return 0;
}

/* Those whose reader is dead. */
static void look_at_fetched(void)
{
	uint32_t reader;
	unsigned i;
	int fd;

	for (i = 0; i < SESSION_FETCHED && atomic_load(&fetching); i++) {
		fd = atomic_load(&fetched[i].fd);
		reader = atomic_load(&fetched[i].reader);
		if (fd && reader &&
		    !ledger_alive(session_cell_slot(reader), session_cell_generation(reader)))
			drop_fetched((uint64_t)fd);
	}
}

static bool being_fetched(int hidden)
{
	unsigned i;

	for (i = 0; i < SESSION_FETCHED && atomic_load(&fetching); i++)
		if (atomic_load(&fetched[i].fd) && atomic_load(&fetched[i].hidden) == hidden)
			return true;
	return false;
}

void door_await_fetch(int hidden)
{
	const struct timespec look = {.tv_nsec = FETCH_LOOK_NS};
	uint32_t seen;

	for (;;) {
		seen = atomic_load(&fetches);
		if (!being_fetched(hidden))
			return;
		SYS(SYS_futex, &fetches, FUTEX_WAIT, seen, &look);
		look_at_fetched();
	}
}

/* The messages are the reader's, even if a thread whose event is among them ends this process. */
static void answer_read(long n, void *arg)
{
	const struct answer *a = arg;

	a->cell->arg = (uint64_t)a->flags;
	a->cell->result = n;
	atomic_store(&a->cell->decided, 1);
}

/*
 * What was read for the requester of each cell, for the case that he dies before he has it. Written
 * by the thread that has the cell (RUNNING).
 */
static struct given {
	_Atomic uint64_t number; /* of the read, as in the cell's `unread`; 0: none */
	uint64_t bytes;
	_Atomic uint32_t context;
} given[SESSION_CELLS];
static _Atomic uint64_t reads;

static bool unread(unsigned i, const struct session_cell *cell)
{
	uint64_t number = atomic_load(&given[i].number);

	return number && atomic_load(&cell->unread) == number;
}

static int64_t do_read(struct file *f, struct session_cell *cell, struct given *own, uint64_t len)
{
	struct answer answer = {.cell = cell, .flags = uffd_flags(f->ctx)};
	struct uffd_reader reader = {.install = keep_for_reader,
				     .told = answer_read,
				     .arg = &answer,
				     .by = cell->tid,
				     .mayfail = true,
				     .held = &cell->unread,
				     .due = atomic_fetch_add(&reads, 1) + 1};
	int64_t n;

	own->number = 0;
	atomic_store(&cell->unread, reader.due);
	n = uffd_read_here(f->ctx, (uintptr_t)cell->data,
			   len < SESSION_NAME_AT ? len : SESSION_NAME_AT, &reader);
	if (n <= 0) {
		atomic_store(&cell->unread, 0);
		return n;
	}
	atomic_store(&own->context, file_name(f));
	own->bytes = (uint64_t)n;
	atomic_store(&own->number, reader.due);
	return n;
}

static int64_t do_send(const struct session_cell *cell, uint64_t fd, uint64_t len)
{
	struct sockaddr_un name;

	if (find_fetched(fd) == SESSION_FETCHED || len > sizeof(name))
		return -EBADF;
	memcpy(&name, cell->data + SESSION_NAME_AT, len);
	return pass_send(&name, (uint32_t)len, (int)fd);
}

/*
 * The source's address is the requester's; its contents are in the data. Without any, they could
 * not be read: 0 is where nothing is, either. But an address that can never be one is told as such.
 */
static int prepare_copy(struct uf_copy *copy, const struct session_cell *cell, uint64_t len)
{
	uint64_t top = mach_task_size();

	if (len) {
		if (copy->len != len || len > SESSION_DATA)
			return -EINVAL;
		copy->src = (uintptr_t)cell->data;
	} else if (copy->src < top && copy->len <= top - copy->src) {
		copy->src = 0;
	}
	return 0;
}

/*
 * Where an ioctl that ends with a wake-up has the bit that leaves it out, and its result; 0: it is
 * none of these.
 */
static uint64_t dontwake_of(uint32_t cmd, const uint64_t *args, uint64_t **mode)
{
	switch (cmd) {
	case UF_IO_COPY:
		*mode = (uint64_t *)&args[3];
		return UF_COPY_MODE_DONTWAKE;
	case UF_IO_ZEROPAGE:
	case UF_IO_CONTINUE:
	case UF_IO_POISON:
		*mode = (uint64_t *)&args[2];
		return UF_ZEROPAGE_MODE_DONTWAKE;
	default:
		*mode = NULL;
		return 0;
	}
}

static void decide(struct session_cell *cell, const uint64_t *args, int64_t result)
{
	memcpy(cell->args, args, sizeof(cell->args));
	cell->result = result;
	atomic_store(&cell->decided, 1);
}

/*
 * A thread that is woken may end this process at once: who asked is told before, as far as that is
 * possible, that its page is there.
 */
static int64_t fill_and_wake(struct file *f, struct session_cell *cell, uint32_t cmd,
			     uint64_t *args, uint64_t *mode, uint64_t dontwake)
{
	struct uf_range range = {.start = args[0]};
	int64_t err;

	*mode |= dontwake;
	err = ufd_ioctl_here(f, cmd, (uintptr_t)args, cell->tid);
	decide(cell, args, err);
	range.len = mode[1];
	if (range.len != SESSION_UNWRITTEN && (int64_t)range.len > 0)
		ufd_ioctl_here(f, UF_IO_WAKE, (uintptr_t)&range, cell->tid);
	return err;
}

/* The same for lifting a protection, which has no result. */
static int64_t lift_and_wake(struct file *f, struct session_cell *cell, uint32_t cmd,
			     uint64_t *args)
{
	int64_t err;

	args[2] = UF_WRITEPROTECT_MODE_DONTWAKE;
	err = ufd_ioctl_here(f, cmd, (uintptr_t)args, cell->tid);
	decide(cell, args, err);
	if (!err)
		ufd_ioctl_here(f, UF_IO_WAKE, (uintptr_t)args, cell->tid);
	return err;
}

static int64_t do_ioctl(struct file *f, struct session_cell *cell, uint32_t cmd, uint64_t len)
{
	uint64_t args[8], dontwake, *mode;
	int64_t err = 0;

	memcpy(args, cell->args, sizeof(args));
	if (cmd == UF_IO_MOVE)
		return -EINVAL;
	if (cmd == UF_IO_COPY)
		err = prepare_copy((struct uf_copy *)args, cell, len);
	if (err)
		return err;
	dontwake = dontwake_of(cmd, args, &mode);
	if (mode && !(*mode & dontwake) && mode[1] == SESSION_UNWRITTEN)
		return fill_and_wake(f, cell, cmd, args, mode, dontwake);
	if ((cmd == UF_IO_WRITEPROTECT || cmd == UF_IO_RWPROTECT) && !args[2])
		return lift_and_wake(f, cell, cmd, args);
	err = ufd_ioctl_here(f, cmd, (uintptr_t)args, cell->tid);
	decide(cell, args, err);
	return err;
}

static bool begin(struct session_cell *cell, uint32_t word)
{
	return atomic_compare_exchange_strong(&cell->word, &word,
					      (word & ~CELL_STATE) | CELL_RUNNING);
}

static bool requester_alive(uint32_t word)
{
	return ledger_alive(session_cell_slot(word), session_cell_generation(word));
}

/*
 * The reader is dead, with messages in the cell: they have been told to nobody. Faults are asked
 * again by those who wait; for events nobody waits any more. The cell is RUNNING.
 */
static void give_again(const struct session_cell *cell, struct given *was)
{
	const struct uf_msg *msg = (const struct uf_msg *)cell->data;
	struct file *f = context_of(atomic_load(&was->context));
	struct uf_range range = {.len = UF_PAGE_SIZE};
	uint64_t n;

	if (!f)
		return;
	uffd_give_again(f->ctx, atomic_load(&was->number));
	for (n = was->bytes / sizeof(*msg); n; n--, msg++) {
		if (msg->event != UF_EVENT_PAGEFAULT)
			continue;
		range.start = msg->arg.pagefault.address & UF_PAGE_MASK;
		ufd_ioctl_here(f, UF_IO_WAKE, (uintptr_t)&range, 0);
	}
	file_put(f);
}

/* A dead requester's cell, RUNNING, becomes anybody's. */
static void clear_cell(struct session_cell *cell, unsigned i)
{
	if (unread(i, cell))
		give_again(cell, &given[i]);
	atomic_store(&given[i].number, 0);
	atomic_store(&cell->unread, 0);
	atomic_store(&cell->word, CELL_FREE);
}

/* A process that shares its memory with others can be killed alone: then its place lives on. */
static bool thread_gone(const struct session_cell *cell, uint32_t word)
{
	const struct session_slot *own = ledger_own(NULL);
	const struct session_slot *s = ledger_slot(session_cell_slot(word));
	uint32_t pid = s ? atomic_load(&s->pid) : 0, tid = cell->tid;

	return own && pid && tid && own->pid_ns == s->pid_ns &&
	       SYS(SYS_tgkill, pid, tid, 0) == -ESRCH && SYS(SYS_kill, tid, 0) == -ESRCH;
}

static void look_at_cell(struct session_cell *cell, unsigned i)
{
	uint32_t word = atomic_load(&cell->word), state = word & CELL_STATE;

	if (state == CELL_FREE || state == CELL_RUNNING ||
	    (requester_alive(word) && !(unread(i, cell) && thread_gone(cell, word))) ||
	    !begin(cell, word))
		return;
	clear_cell(cell, i);
}

/*
 * Events that were read for somebody stand in the way of everything else that is asked of the
 * context, until he has them. Whoever knows that he is dead may count on finding them unread.
 */
static void look_at_given(struct file *f)
{
	struct session_door *door;
	uint32_t number, i;

	if (!uffd_given(f->ctx) || !ledger_own(&number) || !(door = ledger_door(number)))
		return;
	for (i = 0; i < SESSION_CELLS; i++)
		if (unread(i, &door->cell[i]) && atomic_load(&given[i].context) == file_name(f))
			look_at_cell(&door->cell[i], i);
	uffd_look_at_given(f->ctx);
}

static bool any_unread(const struct session_door *door)
{
	unsigned i;

	for (i = 0; door && i < SESSION_CELLS; i++)
		if (unread(i, &door->cell[i]))
			return true;
	return false;
}

static int64_t run(struct session_cell *cell, unsigned i)
{
	uint32_t op = cell->op, cmd = cell->cmd;
	uint64_t len = cell->len, arg = cell->arg;
	struct file *f = context_of(cell->context);
	int64_t ret = -EINVAL;

	if (!f)
		return -ESRCH;
	look_at_given(f);
	switch (op) {
	case OP_READ:
		ret = do_read(f, cell, &given[i], len);
		break;
	case OP_IOCTL:
		ret = do_ioctl(f, cell, cmd, len);
		break;
	case OP_WATCH:
		ufd_watch(f);
		ret = 0;
		break;
	case OP_SEND_FD:
		ret = do_send(cell, arg, len);
		break;
	case OP_DROP_FD:
		ret = drop_fetched(arg);
		break;
	case OP_FDINFO:
		ret = (int64_t)uffd_fdinfo(f->ctx, (char *)cell->data, 4096);
		break;
	}
	file_put(f);
	return ret;
}

/* The service thread does not spin in the way of who asks. */
static _Atomic uint32_t last_requester_cpu;

/*
 * A dead requester's cells. What he asked shall not be done behind the backs of those who know that
 * he is dead, and what he was told has been told to nobody.
 */
static void look_at_cells(void)
{
	uint32_t number, i;
	struct session_slot *s = ledger_own(&number);
	struct session_door *door = s ? ledger_door(number) : NULL;

	for (i = 0; door && i < SESSION_CELLS; i++)
		look_at_cell(&door->cell[i], i);
}

static void serve_cell(struct session_slot *s, struct session_cell *cell, unsigned i)
{
	uint32_t word = atomic_load(&cell->word);

	if ((word & CELL_STATE) != CELL_POSTED || !begin(cell, word))
		return;
	if (mach_now() - cell->posted > FRESH_NS && !requester_alive(word)) {
		clear_cell(cell, i);
		return;
	}
	atomic_store_explicit(&last_requester_cpu, cell->cpu, memory_order_relaxed);
	cell->result = run(cell, i);
	atomic_store(&cell->word, (word & ~CELL_STATE) | CELL_DONE);
	atomic_fetch_add_explicit(&s->requests, 1, memory_order_relaxed);
	if (atomic_exchange(&cell->sleeping, 0))
		SYS(SYS_futex, &cell->word, FUTEX_WAKE, 1);
}

void door_serve(void)
{
	uint32_t number, i;
	struct session_slot *s = ledger_own(&number);
	struct session_door *door = s ? ledger_door(number) : NULL;

	while (door && atomic_exchange(&s->posted, 0))
		for (i = 0; i < SESSION_CELLS; i++)
			serve_cell(s, &door->cell[i], i);
}

/* ---- the service thread ------------------------------------------------------------------------
 */

/* True: something was asked. */
static bool spin(struct session_slot *s)
{
	uint64_t end = mach_now() + SPIN_NS;
	bool asked = false;
	int i;

	if (!front_many_cpus() || host_crowded() ||
	    cpu_current() == atomic_load_explicit(&last_requester_cpu, memory_order_relaxed))
		return false;
	atomic_fetch_add(&s->looking, 1);
	do {
		for (i = 0; i < SPIN_LOOKS && !asked; i++) {
			asked = atomic_load(&s->posted);
			mach_relax();
		}
	} while (!asked && mach_now() < end);
	atomic_fetch_sub(&s->looking, 1);
	return asked;
}

/* A requester posts and then looks at `service`; this thread does it the other way round. */
static void sleep_at_door(struct session_slot *s, const struct session_door *door)
{
	const struct timespec look = {.tv_nsec = 100000000};
	uint32_t heard = atomic_load(&s->kick);

	atomic_store(&s->service, SERVICE_ASLEEP);
	if (!atomic_load(&s->posted))
		SYS(SYS_futex, &s->kick, FUTEX_WAIT, heard,
		    files_any_loose() || atomic_load(&fetching) || any_unread(door) ? &look : NULL);
	atomic_store(&s->service, SERVICE_AWAKE);
}

static void serve_for_ever(void *arg)
{
	struct session_slot *s = arg;
	uint32_t number;
	const struct session_door *door = ledger_own(&number) ? ledger_door(number) : NULL;
	uint64_t raised = 1ull << (SIGSEGV - 1) | 1ull << (SIGBUS - 1);

	host_altstack_enter();
	SYS(SYS_rt_sigprocmask, SIG_UNBLOCK, &raised, NULL, 8);
	SYS(SYS_prctl, 15 /* PR_SET_NAME */, "userfault-door");
	atomic_store(&s->service_tid, (uint32_t)SYS(SYS_gettid));
	for (;;) {
		door_serve();
		if (spin(s))
			continue;
		look_at_cells();
		sleep_at_door(s, door);
		files_settle();
		look_at_fetched();
	}
}

static int start_thread(struct session_slot *s)
{
	const uint64_t size = STACK_BYTES + TLS_BYTES + UF_PAGE_SIZE;
	uint64_t all = ~0ull, old, *tls;
	long map, tid;

	map = SYS(SYS_mmap, 0, size, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map < 0 && map >= -4095)
		return (int)map;
	SYS(SYS_madvise, map, size, MADV_DONTFORK);
	SYS(SYS_madvise, map, size, MADV_DONTDUMP);
	/* What code of libc's would find, should some be called: a place of its own, all zero. */
	tls = (uint64_t *)(map + STACK_BYTES + TLS_BYTES);
	tls[0] = tls[2] = (uintptr_t)tls;
	SYS(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, 8);
	tid = cpu_start_thread(serve_for_ever, s, (void *)(map + STACK_BYTES), tls);
	SYS(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, 8);
	if (tid < 0) {
		SYS(SYS_munmap, map, size);
		return (int)tid;
	}
	return 0;
}

/* Not in the child of a vfork, whose threads are not the process's. */
void door_open(void)
{
	struct session_slot *s = ledger_own(NULL);
	uint32_t none = SERVICE_NONE;

	if (!s || atomic_load(&s->pid) != (uint32_t)SYS(SYS_getpid) ||
	    !atomic_compare_exchange_strong(&s->service, &none, SERVICE_STARTING))
		return;
	if (start_thread(s) < 0)
		atomic_store(&s->service, SERVICE_NONE);
}

/* ---- what threads do while they wait -----------------------------------------------------------
 */

/* The service thread may have ended with its process, where another one lives on in the memory. */
static void look_around(void)
{
	door_serve();
	look_at_cells();
	files_look();
}

static struct host_waiting waiting = {
	.serve = door_serve,
	.look = look_around,
	.asleep = ledger_asleep,
	.awake = ledger_awake,
	.cookie = SESSION_COOKIE,
	.asked = door_open,
};

void door_begin(void)
{
	struct session_slot *s = ledger_own(NULL);

	if (!s)
		return;
	waiting.posted = &s->posted;
	waiting.looking = &s->looking;
	host_set_waiting(&waiting);
}

void door_child(void)
{
	unsigned i;

	for (i = 0; i < SESSION_FETCHED; i++)
		atomic_store(&fetched[i].fd, 0);
	atomic_store(&fetching, 0);
	for (i = 0; i < SESSION_CELLS; i++)
		atomic_store(&given[i].number, 0);
	host_set_waiting(NULL);
}
