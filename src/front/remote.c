/*
 * remote.c - userfaultfds of other address spaces.
 *
 * A request is copied into a cell of the owner's door, and the owner, or the host if the owner is
 * dead, ends the wait for its answer. Memory of this process's is read and written by this process
 * only, so that bad addresses, and such as are missing themselves, are its own affair.
 */
#include "front/remote.h"

#include "front/ledger.h"
#include "front/pass.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <userfault/abi.h>

/* Spin for an answer; longer where somebody is seen to look at the door. */
#define FIRST_NS      2000u /* before anybody is woken */
#define SPIN_NS	      30000u
#define PATIENCE_NS   20000000u /* asleep, between two looks whether the owner lives */
#define CELL_WAIT_NS  200000u
#define MESSAGES_MOST 512u

/* ---- recognising -------------------------------------------------------------------------------
 */

static const char *find(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (; *text; text++)
		if (strncmp(text, word, len) == 0)
			return text + len;
	return NULL;
}

static uint64_t number(const char *p, unsigned base)
{
	uint64_t n = 0;
	unsigned digit;

	for (; *p == ' ' || *p == '\t'; p++)
		;
	for (;; p++) {
		digit = *p >= '0' && *p <= '9'	 ? (unsigned)(*p - '0')
			: *p >= 'a' && *p <= 'f' ? (unsigned)(*p - 'a') + 10
						 : 16;
		if (digit >= base)
			return n;
		n = n * base + digit;
	}
}

/* The lock that an open file description holds on one byte; 0: none. */
static uint64_t locked_byte(const char *text)
{
	const char *line, *p;
	uint64_t start;
	int fields;

	for (line = text; (line = find(line, "lock:"));) {
		p = find(line, "OFDLCK");
		if (!p)
			return 0;
		/* ADVISORY WRITE -1 MAJOR:MINOR:INODE START END */
		for (fields = 0; *p && *p != '\n' && fields < 5; p++)
			fields += *p == ' ' && p[1] != ' ' && p[1] != '\n';
		start = number(p, 10);
		if (fields == 5 && start >> 48)
			return start;
	}
	return 0;
}

uint64_t remote_fd_id(int fd)
{
	char path[40] = "/proc/self/fdinfo/", text[2048], *to = path + strlen(path);
	unsigned divisor = 1;
	const char *watched;
	uint64_t id;
	long in, n;

	if (fd < 0)
		return 0;
	while ((unsigned)fd / divisor >= 10)
		divisor *= 10;
	for (; divisor; divisor /= 10)
		*to++ = (char)('0' + (unsigned)fd / divisor % 10);
	*to = 0;
	in = SYS(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return 0;
	n = SYS(SYS_read, in, text, sizeof(text) - 1);
	SYS(SYS_close, in);
	text[n > 0 ? n : 0] = 0;
	id = locked_byte(text);
	if (id)
		return id;
	/* Where the host has no such locks, what the instance watches must do. */
	watched = find(text, "\ntfd:");
	watched = watched ? find(watched, "data:") : NULL;
	id = watched ? number(watched, 16) : 0;
	return id >> 48 && id >> 63 == 0 ? id : 0;
}

static void say_foreign(void)
{
	static const char text[] =
		"userfault: a userfaultfd of another session cannot be used here; 'userfault join' "
		"starts a program in the session of another\n";
	static _Atomic bool said;

	if (!atomic_exchange(&said, true))
		SYS(SYS_write, 2, text, sizeof(text) - 1);
}

static struct session_context *context_of(uint64_t id)
{
	struct session_door *door = ledger_door(session_fd_slot(id));

	return door ? &door->context[session_fd_context(id) % SESSION_CONTEXTS] : NULL;
}

static long call(struct file *f, struct session_cell *cell, enum session_op op);
static struct session_cell *cell_get(struct file *f);
static void kick(struct session_slot *s);
static void cell_put(const struct file *f, struct session_cell *cell);

/* From now on the level of the descriptor tells the truth, for those who poll it natively. */
static void watch(struct file *f)
{
	struct session_cell *cell = cell_get(f);

	if (!cell || call(f, cell, OP_WATCH) == -ESRCH)
		atomic_store(&f->dead, true);
	if (cell)
		cell_put(f, cell);
}

int remote_open(uint64_t id, int fd, struct file **out)
{
	const struct session_header *h;
	const char *why = NULL;
	struct file *f;

	(void)fd;
	*out = NULL;
	if (ledger_attach(&why) < 0 || !(h = ledger_header()) ||
	    session_fd_tag(id) != session_tag(h->id)) {
		say_foreign();
		return -ENXIO;
	}
	if (front_start() < 0)
		return -ENOSYS;
	ledger_role(SLOT_HANDLER);
	f = file_new(FILE_UFFD);
	if (!f)
		return -ENFILE;
	f->id = id;
	f->spin.score = SPIN_SCORE_MAX;
	f->shown = context_of(id);
	atomic_store(&f->by_write, f->shown && (atomic_load(&f->shown->flags) & CONTEXT_BY_WRITE));
	atomic_store(&f->foreign, true);
	watch(f);
	*out = f;
	return 0;
}

/* ---- requests ----------------------------------------------------------------------------------
 */

/* Whoever asks has a place in the session; a forked child gets one now. */
static bool has_place(void)
{
	if (likely(ledger_own(NULL) != NULL))
		return true;
	if (front_start() < 0 || !ledger_own(NULL))
		return false;
	ledger_role(SLOT_HANDLER);
	return true;
}

static bool owner_alive(struct file *f)
{
	if (atomic_load(&f->dead))
		return false;
	if (ledger_alive(session_fd_slot(f->id), session_fd_generation(f->id)))
		return true;
	atomic_store(&f->dead, true);
	return false;
}

/*
 * Whose process is gone: anybody's to use. Not while the owner is at it, who may be as dead, and
 * not what the owner has to see to.
 */
static bool abandoned(const struct session_cell *cell, uint32_t word, uint32_t own_word)
{
	uint32_t state = word & CELL_STATE;

	if (state == CELL_RUNNING || atomic_load(&cell->unread))
		return false;
	if ((word & ~CELL_STATE) == (own_word & ~CELL_STATE))
		return state != CELL_TAKEN &&
		       SYS(SYS_tgkill, SYS(SYS_getpid), cell->tid, 0) == -ESRCH &&
		       SYS(SYS_kill, cell->tid, 0) == -ESRCH;
	return !ledger_alive(session_cell_slot(word), session_cell_generation(word));
}

static bool try_cell(struct session_cell *cell, uint32_t mine, bool look)
{
	uint32_t word = atomic_load(&cell->word), taken = (mine & ~CELL_STATE) | CELL_TAKEN;

	if ((word & CELL_STATE) != CELL_FREE && !(look && abandoned(cell, word, mine)))
		return false;
	if (!atomic_compare_exchange_strong(&cell->word, &word, taken))
		return false;
	cell->tid = (uint32_t)SYS(SYS_gettid);
	atomic_store(&cell->sleeping, 0);
	return atomic_compare_exchange_strong(&cell->word, &taken, mine);
}

/* A cell of the owner's door; NULL: the owner is dead, or there is no room. Entered. */
static struct session_cell *cell_get(struct file *f)
{
	const struct timespec wait = {.tv_nsec = CELL_WAIT_NS};
	struct session_door *door = ledger_door(session_fd_slot(f->id));
	uint32_t number, i, mine, word;
	struct session_slot *own;
	unsigned tries;

	if (!door || !has_place())
		return NULL;
	own = ledger_own(&number);
	mine = session_cell_word(CELL_CLAIMED, number, atomic_load(&own->generation));
	for (tries = 0;; tries++) {
		if (!owner_alive(f))
			return NULL;
		for (i = 0; i < SESSION_CELLS; i++)
			if (try_cell(&door->cell[i], mine, tries % 16 == 15))
				return &door->cell[i];
		/* The service thread looks after those whose requesters are dead, before it sleeps.
		 */
		if (tries % 16 == 15)
			kick(ledger_slot(session_fd_slot(f->id)));
		word = atomic_load(&door->cell[0].word);
		SYS(SYS_futex, &door->cell[0].word, FUTEX_WAIT, word, &wait);
	}
}

/*
 * Is it still the door that the request was put in? When the owner has died another process may
 * have its slot, who clears the cells, and whose they are then.
 */
static bool same_door(const struct file *f)
{
	const struct session_slot *s = ledger_slot(session_fd_slot(f->id));

	return s && (atomic_load(&s->generation) & 0xfff) == session_fd_generation(f->id);
}

static void cell_put(const struct file *f, struct session_cell *cell)
{
	uint32_t number, word = atomic_load(&cell->word), mine;
	const struct session_slot *own = ledger_own(&number);

	mine = session_cell_word(CELL_FREE, number, atomic_load(&own->generation));
	if (same_door(f) && (word & ~CELL_STATE) == mine)
		atomic_compare_exchange_strong(&cell->word, &word, CELL_FREE);
}

static uint32_t state_of(const struct session_cell *cell)
{
	return atomic_load_explicit(&cell->word, memory_order_acquire) & CELL_STATE;
}

static bool done(const struct session_cell *cell)
{
	return state_of(cell) == CELL_DONE;
}

static bool spin_for_answer(const struct session_cell *cell, uint64_t ns)
{
	uint64_t end;
	int i;

	if (!front_many_cpus() || host_crowded())
		return done(cell);
	end = mach_now() + ns;
	do {
		for (i = 0; i < 16; i++) {
			if (done(cell))
				return true;
			mach_relax();
		}
	} while (mach_now() < end);
	return done(cell);
}

/*
 * The service thread is to run where this one gives its CPU away to wait for it: that is a switch,
 * while one that has to be woken on another CPU, or waits there for a thread that runs, comes late.
 */
static void bring_here(struct session_slot *s)
{
	const struct session_slot *own = ledger_own(NULL);
	uint32_t cpu = cpu_current(), tid = atomic_load(&s->service_tid);
	unsigned long mask[16] = {0};

	if (cpu >= 64 * 16 || !tid || !own || own->pid_ns != s->pid_ns ||
	    atomic_exchange(&s->service_cpu, cpu + 1) == cpu + 1)
		return;
	mask[cpu / 64] = 1ul << (cpu % 64);
	SYS(SYS_sched_setaffinity, tid, sizeof(mask), mask);
}

/* Somebody is to look at the door, though nobody does by himself. */
static void kick(struct session_slot *s)
{
	uint32_t service = atomic_load(&s->service);
	siginfo_t info = {.si_signo = SIGSEGV, .si_code = SI_QUEUE};

	if (service == SERVICE_ASLEEP) {
		bring_here(s);
		atomic_fetch_add(&s->kick, 1);
		SYS(SYS_futex, &s->kick, FUTEX_WAKE, 1);
	} else if (service == SERVICE_NONE) {
		info.si_value.sival_ptr = SESSION_COOKIE;
		SYS(SYS_rt_sigqueueinfo, atomic_load(&s->pid), SIGSEGV, &info);
	}
}

/*
 * What was begun while there was memory has been done, as on the kernel, whatever became of the
 * memory then: a thread that sees its page may end the process before the owner gets to say so.
 */
static bool assume_done(struct session_cell *cell)
{
	unsigned len, out;

	if (state_of(cell) != CELL_RUNNING || cell->op != OP_IOCTL)
		return false;
	switch (cell->cmd) {
	case UF_IO_COPY:
		len = offsetof(struct uf_copy, len) / 8;
		out = offsetof(struct uf_copy, copy) / 8;
		break;
	case UF_IO_ZEROPAGE:
	case UF_IO_CONTINUE:
	case UF_IO_POISON:
		len = offsetof(struct uf_zeropage, range.len) / 8;
		out = offsetof(struct uf_zeropage, zeropage) / 8;
		break;
	default:
		return false;
	}
	cell->args[out] = cell->args[len];
	cell->result = 0;
	return true;
}

static int await(struct file *f, struct session_slot *s, struct session_cell *cell)
{
	const struct timespec patience = {.tv_nsec = PATIENCE_NS};
	uint32_t word;

	for (;;) {
		atomic_store(&cell->sleeping, 1);
		word = atomic_load(&cell->word);
		if ((word & CELL_STATE) == CELL_DONE)
			return 0;
		if (SYS(SYS_futex, &cell->word, FUTEX_WAIT, word, &patience) != -ETIMEDOUT)
			continue;
		if (!owner_alive(f))
			return done(cell) || atomic_load(&cell->decided) || assume_done(cell)
				       ? 0
				       : -ESRCH;
		if ((atomic_load(&cell->word) & CELL_STATE) == CELL_POSTED) {
			atomic_store(&s->posted, 1);
			kick(s);
		}
	}
}

/* Let the owner do what the cell says. Its answer, or -ESRCH: there is nobody any more. */
static long call(struct file *f, struct session_cell *cell, enum session_op op)
{
	struct session_slot *s = ledger_slot(session_fd_slot(f->id));
	uint32_t word = atomic_load(&cell->word);

	cell->op = op;
	cell->cpu = cpu_current();
	cell->context = session_fd_context(f->id);
	cell->result = -ESRCH;
	cell->posted = mach_now();
	atomic_store(&cell->decided, 0);
	atomic_store(&cell->word, (word & ~CELL_STATE) | CELL_POSTED);
	atomic_store(&s->posted, 1);
	/* A thread that has just posted its fault is about to look at the door. */
	if (!spin_for_answer(cell, atomic_load(&s->looking) ? SPIN_NS : FIRST_NS)) {
		if (state_of(cell) == CELL_POSTED && atomic_load(&s->looking))
			spin_for_answer(cell, SPIN_NS);
		if (state_of(cell) == CELL_POSTED)
			kick(s);
		if (await(f, s, cell) < 0)
			return -ESRCH;
	}
	return same_door(f) ? (long)cell->result : -ESRCH;
}

/* ---- reading -----------------------------------------------------------------------------------
 */

bool remote_ready(struct file *f)
{
	return f->shown && atomic_load_explicit(&f->shown->pending, memory_order_acquire) &&
	       !atomic_load_explicit(&f->dead, memory_order_relaxed);
}

static bool initialised(const struct file *f)
{
	return f->shown && (atomic_load(&f->shown->flags) & CONTEXT_INITIALISED);
}

/* On a socket of its own; whatever else may come there is no userfaultfd of this session. */
static int take_fd_by_message(struct file *f, struct session_cell *cell, uint32_t theirs,
			      bool cloexec)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(name);
	long sock = SYS(SYS_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), fd = -EPERM;

	if (sock < 0)
		return (int)sock;
	/* The host finds the name. */
	if (SYS(SYS_bind, sock, &name, sizeof(sa_family_t)) == 0 &&
	    SYS(SYS_getsockname, sock, &name, &len) == 0 && len <= sizeof(name)) {
		memcpy(cell->data + SESSION_NAME_AT, &name, len);
		cell->len = len;
		cell->arg = theirs;
		if (call(f, cell, OP_SEND_FD) == 0)
			fd = pass_receive((int)sock, cloexec);
		if (fd >= 0 &&
		    session_fd_tag(remote_fd_id((int)fd)) != session_tag(ledger_header()->id)) {
			SYS(SYS_close, fd);
			fd = -EPERM;
		}
	}
	SYS(SYS_close, sock);
	return (int)fd;
}

/*
 * A descriptor of the owner's, which stands in a FORK message, becomes one of this process's. The
 * host's own way needs the right to trace the owner; where that is missing it comes by a message.
 */
static int take_fd(struct file *f, struct session_cell *cell, uint32_t theirs, bool cloexec)
{
	struct session_slot *s = ledger_slot(session_fd_slot(f->id));
	long pidfd = SYS(SYS_pidfd_open, atomic_load(&s->pid), 0), fd;

	fd = pidfd < 0 ? pidfd : SYS(SYS_pidfd_getfd, pidfd, theirs, 0);
	if (pidfd >= 0)
		SYS(SYS_close, pidfd);
	if (fd >= 0 && !cloexec)
		SYS(SYS_fcntl, fd, F_SETFD, 0);
	if (fd < 0 && fd != -EMFILE)
		fd = take_fd_by_message(f, cell, theirs, cloexec);
	return (int)fd;
}

/* Descriptors that the owner keeps for this reader until it says that it has them. */
struct kept {
	uint32_t fd[SESSION_FETCHED];
	unsigned n;
};

/* The owner's descriptor in a message becomes one of ours; without err. Then it is not wanted. */
static int take_event(struct file *f, struct session_cell *cell, struct uf_msg *msg, uint32_t flags,
		      struct kept *kept, int err)
{
	if (msg->event != UF_EVENT_FORK)
		return err;
	if (kept->n < SESSION_FETCHED)
		kept->fd[kept->n++] = msg->arg.fork.ufd;
	if (err)
		return err;
	err = take_fd(f, cell, msg->arg.fork.ufd, flags & O_CLOEXEC);
	if (err < 0)
		return err;
	msg->arg.fork.ufd = (uint32_t)err;
	/* What the table may still have for that number was closed without a word. */
	file_detach(err);
	return 0;
}

/*
 * A message is there when its first byte is not 0: that comes last. So who dies in between leaves
 * none that is half of one.
 */
static int put_messages(uint64_t buf, const struct uf_msg *msgs, long bytes)
{
	long n;
	int err = 0;

	for (n = bytes / (long)sizeof(*msgs); n && !err; n--, msgs++, buf += sizeof(*msgs)) {
		err = mach_copy_out(buf + 8, (const char *)msgs + 8, sizeof(*msgs) - 8);
		if (!err)
			err = mach_copy_out(buf, msgs, 8);
	}
	return err;
}

/* The messages of a read, which stand in the data. */
static long take_messages(struct file *f, struct session_cell *cell, uint64_t buf, long n,
			  struct kept *kept)
{
	uint32_t flags = (uint32_t)cell->arg;
	struct uf_msg msgs[16];
	long at, part, i, done = 0;
	int err = 0;

	for (at = 0; at < n; at += part) {
		part = n - at < (long)sizeof(msgs) ? n - at : (long)sizeof(msgs);
		memcpy(msgs, cell->data + at, (size_t)part);
		for (i = 0; i < part / (long)sizeof(*msgs); i++) {
			err = take_event(f, cell, &msgs[i], flags, kept, err);
			done += err ? 0 : (long)sizeof(*msgs);
		}
		if (done > at && put_messages(buf + (uint64_t)at, msgs, done - at) < 0) {
			err = -EFAULT;
			done = at;
		}
	}
	return done ? done : err;
}

/* From here on they are this process's, and from the end on also the descriptors in them. */
static void tell_taken(struct file *f, struct session_cell *cell, const struct kept *kept)
{
	unsigned i;

	atomic_store(&cell->unread, 0);
	for (i = 0; i < kept->n; i++) {
		cell->arg = kept->fd[i];
		call(f, cell, OP_DROP_FD);
	}
}

/* A dead address space has nothing more to say. */
long remote_read(struct file *f, void *buf, size_t count)
{
	struct kept kept = {.n = 0};
	struct session_cell *cell;
	struct mach_entry entry;
	long n;

	if (!initialised(f) || count < sizeof(struct uf_msg))
		return -EINVAL;
	if (!remote_ready(f))
		return -EAGAIN;
	mach_enter(&entry);
	cell = cell_get(f);
	n = -EAGAIN;
	if (cell) {
		cell->len = count / sizeof(struct uf_msg) < MESSAGES_MOST
				    ? count
				    : MESSAGES_MOST * sizeof(struct uf_msg);
		n = call(f, cell, OP_READ);
		if (n > (long)cell->len)
			n = -EINVAL;
		if (n > 0)
			n = take_messages(f, cell, (uintptr_t)buf, n, &kept);
		tell_taken(f, cell, &kept);
		cell_put(f, cell);
	}
	mach_leave(&entry);
	return n == -ESRCH ? -EAGAIN : n;
}

struct bell_sleep {
	struct session_context *shown;
	int cancel;
};

static void bell_sleep_end(struct bell_sleep *s)
{
	atomic_fetch_sub(&s->shown->sleepers, 1);
}

int remote_sleep(struct file *f, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint32_t heard;
	int err = 0;

	if (!f->shown)
		return front_poll(&p, 1, -1) < 0 ? -errno : 0;
	atomic_fetch_add(&f->shown->sleepers, 1);
	{
		struct bell_sleep s __attribute__((cleanup(bell_sleep_end))) = {.shown = f->shown};

		heard = atomic_load(&f->shown->bell);
		if (!remote_ready(f)) {
			pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &s.cancel);
			err = front_sleep(&f->shown->bell, heard);
			pthread_setcanceltype(s.cancel, NULL);
		}
	}
	return err == -EINTR ? err : 0;
}

/* What a dead owner has not taken back means nothing. */
unsigned remote_poll(struct file *f, bool nonblock)
{
	if (!initialised(f) || !nonblock)
		return POLLERR;
	return remote_ready(f) && owner_alive(f) ? POLLIN : 0;
}

size_t remote_fdinfo(struct file *f, char *buf, size_t size)
{
	struct session_cell *cell;
	struct mach_entry entry;
	long n = 0;

	mach_enter(&entry);
	cell = cell_get(f);
	if (cell) {
		n = call(f, cell, OP_FDINFO);
		if (n > 0 && (size_t)n <= size)
			memcpy(buf, cell->data, (size_t)n);
		else
			n = 0;
		cell_put(f, cell);
	}
	mach_leave(&entry);
	return (size_t)n;
}

/* ---- ioctls ------------------------------------------------------------------------------------
 */

/* What an ioctl reads, and where it writes what (0: nowhere). */
struct shape {
	uint32_t cmd;
	uint8_t in, out;
};

static const struct shape shapes[] = {
	{UF_IO_REGISTER, 24, 24}, {UF_IO_UNREGISTER, 16, 0},   {UF_IO_WAKE, 16, 0},
	{UF_IO_COPY, 32, 32},	  {UF_IO_ZEROPAGE, 24, 24},    {UF_IO_CONTINUE, 24, 24},
	{UF_IO_POISON, 24, 24},	  {UF_IO_WRITEPROTECT, 24, 0}, {UF_IO_RWPROTECT, 24, 0},
	{UF_IO_SET_MODE, 16, 0},  {UF_IO_API, 24, 0},
};

static const struct shape *shape_of(unsigned long cmd)
{
	unsigned i;

	for (i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		if (shapes[i].cmd == (uint32_t)cmd)
			return &shapes[i];
	return NULL;
}

/* The pages of COPY's source, as many as can be read: some memory of the requester may be gone. */
static uint64_t fetch(uint8_t *data, uint64_t src, uint64_t len)
{
	uint64_t done, part;

	if (mach_copy_in(data, src, len) == 0)
		return len;
	for (done = 0; done < len; done += part) {
		part = UF_PAGE_SIZE;
		if (mach_copy_in(data + done, src + done, part) < 0)
			break;
	}
	return done;
}

static bool good_copy(const struct uf_copy *c)
{
	uint64_t top = mach_task_size();

	return !((c->dst | c->len) & ~UF_PAGE_MASK) && c->len && c->dst < top &&
	       c->len <= top - c->dst && c->src < top && c->len <= top - c->src;
}

static long ask(struct file *f, struct session_cell *cell, uint32_t cmd, uint64_t len)
{
	cell->cmd = cmd;
	cell->len = len;
	return call(f, cell, OP_IOCTL);
}

/* One after the other, each as large as the data can be. A short one ends it. */
static long copy_in_parts(struct file *f, struct session_cell *cell, struct uf_copy *c)
{
	struct uf_copy part = *c, *sent = (struct uf_copy *)cell->args;
	uint64_t done = 0, have;
	long err = 0;

	while (!err && done < c->len) {
		part.len = c->len - done < SESSION_DATA ? c->len - done : SESSION_DATA;
		have = fetch(cell->data, c->src + done, part.len);
		if (have)
			part.len = have;
		part.dst = c->dst + done;
		part.src = c->src + done;
		part.copy = (int64_t)SESSION_UNWRITTEN;
		*sent = part;
		err = ask(f, cell, UF_IO_COPY, have);
		part.copy = sent->copy;
		if (part.copy == (int64_t)SESSION_UNWRITTEN || part.copy <= 0)
			break;
		done += (uint64_t)part.copy;
	}
	c->copy = done ? (int64_t)done : part.copy;
	return done && done < c->len ? -EAGAIN : err;
}

/* API answers in the whole struct, also when it refuses; the others in their last field. */
static int answer(const struct shape *shape, uint64_t arg, const uint64_t *args, long err)
{
	if (shape->cmd == UF_IO_API && (err == 0 || err == -EINVAL || err == -EPERM))
		return mach_copy_out(arg, args, sizeof(struct uf_api));
	if (shape->out && args[shape->out / 8] != SESSION_UNWRITTEN)
		return mach_copy_out(arg + shape->out, &args[shape->out / 8], 8);
	return 0;
}

/* What the ABI has for an address space that is gone. */
static int without_owner(const struct file *f, uint32_t cmd)
{
	switch (cmd) {
	case UF_IO_API:
		return initialised(f) ? -EINVAL : 0;
	case UF_IO_WAKE:
		return 0;
	case UF_IO_REGISTER:
	case UF_IO_UNREGISTER:
		return -ENOMEM;
	default:
		return -ESRCH;
	}
}

static int ioctl_entered(struct file *f, const struct shape *shape, uint64_t arg)
{
	struct session_cell *cell;
	uint64_t args[8] = {0};
	long err;

	if (mach_copy_in(args, arg, shape->in) < 0)
		return -EFAULT;
	if (shape->out)
		args[shape->out / 8] = SESSION_UNWRITTEN;
	cell = cell_get(f);
	if (!cell)
		return without_owner(f, shape->cmd);
	if (shape->cmd == UF_IO_COPY && good_copy((struct uf_copy *)args)) {
		err = copy_in_parts(f, cell, (struct uf_copy *)args);
	} else {
		memcpy(cell->args, args, sizeof(args));
		err = ask(f, cell, shape->cmd, 0);
		memcpy(args, cell->args, sizeof(args));
	}
	cell_put(f, cell);
	if (err == -ESRCH && !owner_alive(f))
		return without_owner(f, shape->cmd);
	if (answer(shape, arg, args, err) < 0)
		return -EFAULT;
	return (int)err;
}

int remote_ioctl(struct file *f, unsigned long cmd, uint64_t arg)
{
	const struct shape *shape = shape_of(cmd);
	struct mach_entry entry;
	int err;

	if (!shape)
		return -EINVAL;
	/* What is shown of a dead owner's contexts may be another process's by now. */
	if (!initialised(f) && cmd != UF_IO_API)
		return owner_alive(f) ? -EINVAL : without_owner(f, shape->cmd);
	mach_enter(&entry);
	err = ioctl_entered(f, shape, arg);
	mach_leave(&entry);
	return err;
}
