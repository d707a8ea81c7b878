/* SPDX-License-Identifier: MIT */
/*
 * The ledger of a session: who lives in a slot, requests that are garbage, descriptors that are not
 * what they seem, a ledger of another version.
 */
#include "abi.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "front/session.h"

static int ledger_fd;
static struct session_header *ledger;

static void open_ledger(void)
{
	const char *name = getenv(SESSION_ENV);
	char path[64];

	CHECK(name != NULL);
	snprintf(path, sizeof path, "/proc/self/fd/%d", atoi(name));
	ledger_fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(ledger_fd >= 0);
	ledger = mmap(NULL, SESSION_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
		      ledger_fd, 0);
	CHECK(ledger != MAP_FAILED);
	EQ(session_valid(ledger, SESSION_SIZE), SESSION_GOOD);
}

static struct session_slot *slot(unsigned i)
{
	return (struct session_slot *)((char *)ledger + SESSION_SLOTS_AT) + i;
}

static struct session_door *door(unsigned i)
{
	return (struct session_door *)((char *)ledger + SESSION_DOORS_AT) + i;
}

static bool alive(unsigned i)
{
	struct flock lock = {.l_type = F_WRLCK, .l_start = i, .l_len = 1};

	EQ(fcntl(ledger_fd, F_OFD_GETLK, &lock), 0);
	return lock.l_type != F_UNLCK;
}

static int slot_of(pid_t pid)
{
	for (unsigned i = 0; i < ledger->high; i++)
		if (slot(i)->pid == (uint32_t)pid && slot(i)->state == SLOT_LIVE)
			return (int)i;
	return -1;
}

static void serves(int fd, char *page)
{
	struct thread t;

	reader(&t, page);
	FAULT(fd, page, 0);
	DONE(copy(fd, page, page_of(3), PG, 0), PG);
	join(&t);
	EQ(t.byte, 3);
}

/* Killed, it leaves a slot that nobody lives in, and that the next one gets. */
static void liveness(void)
{
	uint32_t generation = 0;
	int status, place = -1, to[2];
	char byte;

	for (int i = 0; i < 3; i++) {
		EQ(pipe(to), 0);
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (!pid) {
			uffd_open(0);
			EQ(write(to[1], "", 1), 1);
			pause();
			_exit(0);
		}
		close(to[1]);
		EQ(read(to[0], &byte, 1), 1);
		close(to[0]);
		int at = slot_of(pid);
		CHECK(at >= 0);
		CHECK(alive((unsigned)at));
		EQ(slot((unsigned)at)->roles & SLOT_OWNER, SLOT_OWNER);
		if (place >= 0) {
			EQ(at, place);
			CHECK(slot((unsigned)at)->generation != generation);
		}
		place = at;
		generation = slot((unsigned)at)->generation;
		EQ(kill(pid, SIGKILL), 0);
		EQ(waitpid(pid, &status, 0), pid);
		CHECK(!alive((unsigned)at));
	}
}

static uint64_t seed = 88172645463325252ull;

static uint64_t noise(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Whatever stands in the cells, the owner goes on; and each one is answered. */
static void garbage(int fd, char *p)
{
	unsigned own = (unsigned)slot_of(getpid());
	uint32_t name = 0;

	for (unsigned i = 0; i < SESSION_CONTEXTS && !name; i++)
		name = door(own)->context[i].name;
	CHECK(name);
	for (int round = 0; round < 400; round++) {
		for (unsigned i = 0; i < SESSION_CELLS; i++) {
			struct session_cell *cell = &door(own)->cell[i];

			for (unsigned k = 0; k < 8; k++)
				cell->args[k] = noise() & (k % 2 ? ~0ull : 0xfffffffff000ull);
			cell->op = (uint32_t)(noise() % 9);
			cell->cmd = noise() % 2 ? (uint32_t)noise()
						: (uint32_t)(UFFDIO_COPY + (noise() % 8 - 3));
			cell->context = noise() % 2 ? name : (uint32_t)noise();
			cell->len = noise() % 3 ? noise() % SESSION_DATA : noise();
			cell->arg = noise() % 2 ? noise() % 70000 : noise();
			/* Unregistering would be a good request. */
			if (cell->cmd == (uint32_t)UFFDIO_UNREGISTER)
				cell->cmd = 0;
			cell->word = session_cell_word(CELL_POSTED, own, slot(own)->generation);
		}
		atomic_store(&slot(own)->posted, 1);
		atomic_fetch_add(&slot(own)->kick, 1);
		syscall(SYS_futex, &slot(own)->kick, 1 /* FUTEX_WAKE */, 1);
		for (unsigned i = 0; i < SESSION_CELLS; i++)
			while ((door(own)->cell[i].word & CELL_STATE) != CELL_DONE)
				sched_yield();
	}
	for (unsigned i = 0; i < SESSION_CELLS; i++)
		door(own)->cell[i].word = CELL_FREE;
	serves(fd, p);
}

/* The service thread is there once a descriptor may have left. */
static void start_service(void)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	EQ(waitpid(pid, &status, 0), pid);
	while (slot((unsigned)slot_of(getpid()))->service != SERVICE_ASLEEP)
		sched_yield();
}

static int forge(uint64_t id, int source)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = id};
	struct flock lock = {.l_type = F_WRLCK, .l_start = (off_t)id, .l_len = 1};
	int fd = epoll_create1(EPOLL_CLOEXEC);

	EQ(epoll_ctl(fd, EPOLL_CTL_ADD, source, &event), 0);
	EQ(fcntl(fd, F_OFD_SETLK, &lock), 0);
	return fd;
}

/* Neither is a userfaultfd, though both look like one. */
static void forged(void)
{
	uint32_t tag = session_tag(ledger->id);
	unsigned own = (unsigned)slot_of(getpid());
	struct uffdio_range range = {(uintptr_t)map(1), PG};
	struct uffd_msg msg;
	int source = eventfd(0, 0), fd;

	/* A context that is not there, of this process, of a dead one and of nobody. */
	for (unsigned i = own; i <= own + 2; i++) {
		fd = forge(session_fd_id(tag, i, slot(i)->generation, 0xfffffe), source);
		EQ(ioctl(fd, UFFDIO_UNREGISTER, &range), -1);
		CHECK(errno == ESRCH || errno == EINVAL || errno == ENOMEM);
		EQ(read(fd, &msg, sizeof msg), -1);
		close(fd);
	}
	/* Another session's. */
	fd = forge(session_fd_id(tag == 1 ? 2 : 1, 0, 1, 1), source);
	ERR(ioctl(fd, UFFDIO_UNREGISTER, &range), ENXIO);
	close(fd);
	close(source);
}

/* In a session that another version has begun. */
static int in_old_session(void)
{
	errno = 0;
	EQ(syscall(SYS_userfaultfd, 0), -1);
	EQ(errno, ENOSYS);
	return 0;
}

static void old_version(char *self)
{
	struct session_header old = *ledger;
	int fd = memfd_create(SESSION_FILE_NAME, 0), errors[2], status;
	char name[64], text[512];
	struct stat st;

	EQ(ftruncate(fd, SESSION_SIZE), 0);
	old.version--;
	EQ(pwrite(fd, &old, sizeof old, 0), sizeof old);
	EQ(fstat(fd, &st), 0);
	snprintf(name, sizeof name, "%d:%lu", fd, (unsigned long)st.st_ino);
	EQ(pipe(errors), 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		setenv(SESSION_ENV, name, 1);
		dup2(errors[1], STDERR_FILENO);
		execl(self, self, "old", NULL);
		_exit(9);
	}
	close(errors[1]);
	ssize_t n = read(errors[0], text, sizeof text - 1);
	CHECK(n > 0);
	text[n] = 0;
	CHECK(strstr(text, "another version") != NULL);
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 0);
	close(errors[0]);
	close(fd);
}

int main(int argc, char **argv)
{
	start();
	if (argc > 1)
		return in_old_session();
	open_ledger();
	liveness();
	old_version(argv[0]);
	int fd = uffd_open(0);
	char *p = map(2);
	EQ(reg(fd, p, 2 * PG, MISSING), 0);
	serves(fd, p);
	start_service();
	forged();
	garbage(fd, p + PG);
	return 0;
}
