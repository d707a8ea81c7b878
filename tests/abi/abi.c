/* SPDX-License-Identifier: MIT */
#include "abi.h"

#include <stdarg.h>

/* --- expectations --------------------------------------------------------------------------- */

const char *about;

static _Noreturn void fail_text(const char *format, ...)
{
	char text[512];
	va_list args;
	int n = about ? snprintf(text, sizeof text, "%s: ", about) : 0;

	va_start(args, format);
	n += vsnprintf(text + n, sizeof text - n, format, args);
	va_end(args);
	if (n > (int)sizeof text - 1)
		n = sizeof text - 1;
	if (write(STDERR_FILENO, text, n) != n)
		_exit(2);
	_exit(1);
}

_Noreturn void fail_at(const char *file, int line, const char *what, long long want, long long got)
{
	fail_text("%s:%d: %s: expected %lld (%#llx), got %lld (%#llx)\n", file, line, what, want,
		  want, got, got);
}

void outcome_at(const char *file, int line, const char *what, struct outcome got, int err,
		int64_t out)
{
	if (got.err != err || got.out != out)
		fail_text("%s:%d: %s: expected errno %d and %#llx (%lld) in the output field, "
			  "got errno %d and %#llx (%lld)\n",
			  file, line, what, err, (long long)out, (long long)out, got.err,
			  (long long)got.out, (long long)got.out);
}

_Noreturn void skip(const char *why)
{
	printf("skipped: %s\n", why);
	exit(getenv("ABI_NO_SKIP") ? 1 : 77);
}

_Noreturn void skip_host(const char *why)
{
	printf("skipped: %s\n", why);
	exit(77);
}

/* --- descriptors ---------------------------------------------------------------------------- */

void start(void)
{
	alarm(30);
}

int uffd_new(int flags)
{
	int fd = syscall(SYS_userfaultfd, flags);

	if (fd < 0 && errno == EPERM)
		fd = syscall(SYS_userfaultfd, flags | UFFD_USER_MODE_ONLY);
	if (fd < 0 && (errno == EPERM || errno == ENOSYS))
		skip("the kernel refuses userfaultfd");
	CHECK(fd >= 0);
	return fd;
}

int uffd_api(int fd, uint64_t features)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};

	return ioctl(fd, UFFDIO_API, &api) ? errno : 0;
}

uint64_t uffd_features(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	int fd = uffd_new(O_CLOEXEC);

	EQ(ioctl(fd, UFFDIO_API, &api), 0);
	close(fd);
	return api.features;
}

void need_features(uint64_t features)
{
	static const char *const names[] = {
		"PAGEFAULT_FLAG_WP",
		"EVENT_FORK",
		"EVENT_REMAP",
		"EVENT_REMOVE",
		"MISSING_HUGETLBFS",
		"MISSING_SHMEM",
		"EVENT_UNMAP",
		"SIGBUS",
		"THREAD_ID",
		"MINOR_HUGETLBFS",
		"MINOR_SHMEM",
		"EXACT_ADDRESS",
		"WP_HUGETLBFS_SHMEM",
		"WP_UNPOPULATED",
		"POISON",
		"WP_ASYNC",
		"MOVE",
		"RWP",
		"RWP_ASYNC",
	};
	uint64_t lacking = features & ~uffd_features();
	char why[64];

	if (!lacking)
		return;
	snprintf(why, sizeof why, "no UFFD_FEATURE_%s", names[__builtin_ctzll(lacking)]);
	skip(why);
}

int uffd_open(uint64_t features)
{
	need_features(features);
	int fd = uffd_new(O_CLOEXEC | O_NONBLOCK);
	int err = uffd_api(fd, features);
	if (err == EPERM && features & UFFD_FEATURE_EVENT_FORK)
		skip("events of forks are not permitted to this user");
	EQ(err, 0);
	return fd;
}

int uffd_open_full(uint64_t features)
{
	need_features(features);
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		skip("faults inside system calls are not permitted to this user");
	EQ(uffd_api(fd, features), 0);
	return fd;
}

/* --- memory --------------------------------------------------------------------------------- */

char *map_prot(size_t pages, int prot)
{
	char *p = mmap(NULL, (pages + 2) * PG, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	EQ(munmap(p, PG), 0);
	EQ(munmap(p + (pages + 1) * PG, PG), 0);
	EQ(mprotect(p + PG, pages * PG, prot), 0);
	/* Huge pages would make neighbours of a touched page present too. */
	madvise(p + PG, pages * PG, MADV_NOHUGEPAGE);
	return p + PG;
}

char *map(size_t pages)
{
	return map_prot(pages, PROT_READ | PROT_WRITE);
}

char *page_of(int byte)
{
	char *p = map(1);

	return memset(p, byte, PG);
}

volatile char *at_address(uintptr_t address)
{
	return (volatile char *)address;
}

bool all(const char *p, size_t len, int byte)
{
	for (size_t i = 0; i < len; i++)
		if (((volatile const char *)p)[i] != (char)byte)
			return false;
	return true;
}

uint64_t pagemap(const void *addr)
{
	uint64_t entry;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	EQ(pread(fd, &entry, sizeof entry, (uintptr_t)addr / PG * sizeof entry), sizeof entry);
	close(fd);
	return entry;
}

long scan(struct scan_arg *arg)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	arg->size = sizeof *arg;
	long n = ioctl(fd, SCAN_IOCTL, arg);
	if (n < 0)
		n = -errno;
	close(fd);
	if (n == -ENOTTY)
		skip("no PAGEMAP_SCAN");
	return n;
}

bool populated(const void *addr)
{
	return pagemap(addr) & PM_PRESENT;
}

/* --- ioctls --------------------------------------------------------------------------------- */

struct outcome reg_out(int fd, const void *addr, size_t len, uint64_t mode)
{
	struct uffdio_register arg = {
		.range = {(uintptr_t)addr, len}, .mode = mode, .ioctls = UNTOUCHED};
	int err = ioctl(fd, UFFDIO_REGISTER, &arg) ? errno : 0;

	return (struct outcome){err, arg.ioctls};
}

int reg(int fd, const void *addr, size_t len, uint64_t mode)
{
	return reg_out(fd, addr, len, mode).err;
}

static int on_range(int fd, unsigned long request, const void *addr, size_t len)
{
	struct uffdio_range arg = {(uintptr_t)addr, len};

	return ioctl(fd, request, &arg) ? errno : 0;
}

int unreg(int fd, const void *addr, size_t len)
{
	return on_range(fd, UFFDIO_UNREGISTER, addr, len);
}

int wake(int fd, const void *addr, size_t len)
{
	return on_range(fd, UFFDIO_WAKE, addr, len);
}

static int on_protection(int fd, unsigned long request, const void *addr, size_t len, uint64_t mode)
{
	struct uffdio_writeprotect arg = {{(uintptr_t)addr, len}, mode};

	return ioctl(fd, request, &arg) ? errno : 0;
}

int protect(int fd, const void *addr, size_t len, uint64_t mode)
{
	return on_protection(fd, UFFDIO_WRITEPROTECT, addr, len, mode);
}

int rwprotect(int fd, const void *addr, size_t len, uint64_t mode)
{
	return on_protection(fd, UFFDIO_RWPROTECT, addr, len, mode);
}

static struct outcome from_source(int fd, unsigned long request, const void *dst, const void *src,
				  size_t len, uint64_t mode)
{
	struct uffdio_copy arg = {(uintptr_t)dst, (uintptr_t)src, len, mode, UNTOUCHED};
	int err = ioctl(fd, request, &arg) ? errno : 0;

	return (struct outcome){err, arg.copy};
}

struct outcome copy(int fd, const void *dst, const void *src, size_t len, uint64_t mode)
{
	return from_source(fd, UFFDIO_COPY, dst, src, len, mode);
}

struct outcome move(int fd, const void *dst, const void *src, size_t len, uint64_t mode)
{
	return from_source(fd, UFFDIO_MOVE, dst, src, len, mode);
}

static struct outcome in_place(int fd, unsigned long request, const void *addr, size_t len,
			       uint64_t mode)
{
	struct uffdio_zeropage arg = {{(uintptr_t)addr, len}, mode, UNTOUCHED};
	int err = ioctl(fd, request, &arg) ? errno : 0;

	return (struct outcome){err, arg.zeropage};
}

struct outcome zeropage(int fd, const void *addr, size_t len, uint64_t mode)
{
	return in_place(fd, UFFDIO_ZEROPAGE, addr, len, mode);
}

struct outcome poison(int fd, const void *addr, size_t len, uint64_t mode)
{
	return in_place(fd, UFFDIO_POISON, addr, len, mode);
}

struct outcome cont(int fd, const void *addr, size_t len, uint64_t mode)
{
	return in_place(fd, UFFDIO_CONTINUE, addr, len, mode);
}

/* --- messages ------------------------------------------------------------------------------- */

struct uffd_msg next_msg(int fd)
{
	struct uffd_msg msg;
	ssize_t n;

	/* POLLIN is no promise: what was there may be gone by the time of the read. */
	do {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (poll(&p, 1, -1) < 0) {
			EQ(errno, EINTR);
			continue;
		}
		EQ(p.revents, POLLIN);
	} while ((n = read(fd, &msg, sizeof msg)) < 0 && (errno == EAGAIN || errno == EINTR));
	EQ(n, sizeof msg);
	EQ(msg.reserved1, 0);
	EQ(msg.reserved2, 0);
	EQ(msg.reserved3, 0);
	return msg;
}

void fault_at(const char *file, int line, struct uffd_msg got, const void *addr, uint64_t flags)
{
	if (got.event != UFFD_EVENT_PAGEFAULT)
		fail_at(file, line, "event", UFFD_EVENT_PAGEFAULT, got.event);
	if (got.pagefault.address != (uintptr_t)addr)
		fail_at(file, line, "fault address", (uintptr_t)addr, got.pagefault.address);
	if (got.pagefault.flags != flags)
		fail_at(file, line, "fault flags", flags, got.pagefault.flags);
}

void event_at(const char *file, int line, struct uffd_msg got, int event, uint64_t a, uint64_t b,
	      uint64_t c)
{
	if (got.event != event)
		fail_at(file, line, "event", event, got.event);
	if (got.raw[0] != a)
		fail_at(file, line, "event field 1", a, got.raw[0]);
	if (got.raw[1] != b)
		fail_at(file, line, "event field 2", b, got.raw[1]);
	if (got.raw[2] != c)
		fail_at(file, line, "event field 3", c, got.raw[2]);
}

bool quiet(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct uffd_msg msg;

	return poll(&p, 1, 0) == 0 && read(fd, &msg, sizeof msg) == -1 && errno == EAGAIN;
}

/* --- threads -------------------------------------------------------------------------------- */

static void *thread_main(void *arg)
{
	struct thread *t = arg;

	t->tid = gettid();
	void *result = t->fn(t->arg);
	t->done = true;
	return result;
}

void run(struct thread *t, void *(*fn)(void *), void *arg)
{
	t->tid = 0;
	t->done = false;
	t->fn = fn;
	t->arg = arg;
	EQ(pthread_create(&t->id, NULL, thread_main, t), 0);
}

static void *read_byte(void *arg)
{
	struct thread *t = arg;

	t->byte = *(volatile unsigned char *)t->addr;
	return NULL;
}

static void *write_byte(void *arg)
{
	struct thread *t = arg;

	*t->addr = t->byte;
	return NULL;
}

void reader(struct thread *t, const void *addr)
{
	t->addr = (volatile char *)addr;
	t->byte = -1;
	run(t, read_byte, t);
}

void writer(struct thread *t, void *addr, int byte)
{
	t->addr = addr;
	t->byte = byte;
	run(t, write_byte, t);
}

void join(struct thread *t)
{
	EQ(pthread_join(t->id, NULL), 0);
	CHECK(t->done);
}

char stat_state(const char *path)
{
	char text[512];

	int fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	CHECK(n > 0);
	text[n] = 0;
	/* The name, in parentheses, may hold anything; the state follows the last one. */
	char *end = strrchr(text, ')');
	CHECK(end);
	return end[2];
}

char task_state(int tid)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
	return stat_state(path);
}

void wait_asleep(struct thread *t)
{
	while (!t->tid)
		sched_yield();
	while (task_state(t->tid) != 'S') {
		CHECK(!t->done);
		sched_yield();
	}
}

bool blocked(struct thread *t)
{
	wait_asleep(t);
	return !t->done;
}

/* --- calls that may block until an event is read ---------------------------------------------- */

static void *do_call(void *arg)
{
	struct call *c = arg;
	void *addr = (void *)c->args[0];
	size_t len = c->args[1];

	switch (c->number) {
	case SYS_munmap:
		c->result = munmap(addr, len);
		break;
	case SYS_mremap:
		c->result = (long)mremap(addr, len, c->args[2], c->args[3], c->args[4]);
		break;
	case SYS_madvise:
		c->result = madvise(addr, len, c->args[2]);
		break;
	case SYS_mmap:
		c->result = (long)mmap(addr, len, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		break;
	}
	if (c->result == -1)
		c->result = -errno;
	return NULL;
}

static void call(struct call *c, long number, long a, long b, long d, long e, long f)
{
	c->number = number;
	c->args[0] = a;
	c->args[1] = b;
	c->args[2] = d;
	c->args[3] = e;
	c->args[4] = f;
	run(&c->thread, do_call, c);
}

void call_munmap(struct call *c, void *addr, size_t len)
{
	call(c, SYS_munmap, (long)addr, len, 0, 0, 0);
}

void call_mremap(struct call *c, void *addr, size_t old_len, size_t len, int flags, void *to)
{
	call(c, SYS_mremap, (long)addr, old_len, len, flags, (long)to);
}

void call_madvise(struct call *c, void *addr, size_t len, int advice)
{
	call(c, SYS_madvise, (long)addr, len, advice, 0, 0);
}

void call_map_over(struct call *c, void *addr, size_t len)
{
	call(c, SYS_mmap, (long)addr, len, 0, 0, 0);
}

long returned(struct call *c)
{
	join(&c->thread);
	return c->result;
}

/* --- signals -------------------------------------------------------------------------------- */

static _Thread_local sigjmp_buf back;
static _Thread_local siginfo_t caught;

static void on_signal(int sig, siginfo_t *info, void *context)
{
	(void)context;
	caught = *info;
	siglongjmp(back, sig);
}

static int attempt(volatile char *addr, int byte, siginfo_t *info)
{
	struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
	struct sigaction old_segv, old_bus;

	EQ(sigaction(SIGSEGV, &act, &old_segv), 0);
	EQ(sigaction(SIGBUS, &act, &old_bus), 0);
	int sig = sigsetjmp(back, 1);
	if (!sig) {
		if (byte < 0)
			(void)*addr;
		else
			*addr = byte;
	}
	EQ(sigaction(SIGSEGV, &old_segv, NULL), 0);
	EQ(sigaction(SIGBUS, &old_bus, NULL), 0);
	if (sig && info)
		*info = caught;
	return sig;
}

int try_read(const void *addr, siginfo_t *info)
{
	return attempt((volatile char *)addr, -1, info);
}

int try_write(void *addr, int byte, siginfo_t *info)
{
	return attempt(addr, byte, info);
}
