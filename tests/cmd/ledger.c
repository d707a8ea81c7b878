/*
 * ledger WHAT PROGRAM [ARGUMENT]...: hold a session's ledger that no process of Userfault's made,
 * run PROGRAM and end as it ends. WHAT is "good", as a session would be with one process alive and
 * one dead; "old", of another version; "short", without most of it; "foreign", a file that only
 * has the name; "hostile", good in its header and noise in the rest.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "front/session.h"

static void check(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

static void put(int fd, const void *data, size_t size, off_t at)
{
	check(pwrite(fd, data, size, at) == (ssize_t)size, "pwrite");
}

static void live(int fd, off_t slot)
{
	struct flock lock = {.l_type = F_WRLCK, .l_start = slot, .l_len = 1};

	check(fcntl(fd, F_OFD_SETLK, &lock) == 0, "F_OFD_SETLK");
}

static uint64_t seconds_ago(unsigned seconds)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return ((uint64_t)t.tv_sec - seconds) * 1000000000 + (uint64_t)t.tv_nsec;
}

static void put_slots(int fd)
{
	static struct session_slot slot;
	struct stat ns;

	check(stat("/proc/self/ns/pid", &ns) == 0, "/proc/self/ns/pid");
	slot.state = SLOT_LIVE;
	slot.pid = (uint32_t)getpid();
	slot.pid_ns = ns.st_ino;
	slot.roles = SLOT_OWNER;
	strcpy(slot.comm, "first\033[2J");
	strcpy(slot.trap, "guard");
	slot.contexts = 2;
	slot.ranges = 31;
	slot.pages = 4096;
	slot.requests = 77;
	slot.waiting = 3;
	slot.waiter[0].tid = 111;
	slot.waiter[0].addr = 0x7f0000001234;
	slot.waiter[0].since = seconds_ago(5);
	slot.waiter[7].tid = 112;
	slot.waiter[7].event = 1;
	slot.waiter[7].since = seconds_ago(100);
	slot.stats.count[MM_STAT_MISSING] = 12;
	put(fd, &slot, sizeof(slot), SESSION_SLOTS_AT);
	live(fd, 0);

	/* Slot 1 has no lock: what a dead process left. Slot 2 is somebody's elsewhere. */
	memset(&slot.waiter, 0, sizeof(slot.waiter));
	strcpy(slot.comm, "departed");
	slot.waiting = 0;
	put(fd, &slot, sizeof(slot), SESSION_SLOTS_AT + sizeof(slot));
	strcpy(slot.comm, "contained");
	slot.pid = 4;
	slot.pid_ns = 1;
	slot.roles = SLOT_HANDLER;
	put(fd, &slot, sizeof(slot), SESSION_SLOTS_AT + 2 * sizeof(slot));
	live(fd, 2);
}

static void put_noise(int fd)
{
	static unsigned char page[sizeof(struct session_slot)];
	const uint32_t state = SLOT_LIVE;

	for (unsigned i = 0; i < 8; i++) {
		off_t at = SESSION_SLOTS_AT + (off_t)(i * sizeof(page));

		for (size_t j = 0; j < sizeof(page); j++)
			page[j] = i % 2 ? 0xff : (unsigned char)(j * 31 + i);
		put(fd, page, sizeof(page), at);
		put(fd, &state, sizeof(state), at + offsetof(struct session_slot, state));
		live(fd, i);
	}
}

static void make(int fd, const char *what)
{
	struct session_header h = {
		SESSION_LAYOUT,
		.id = 0xfeed00000000beefull,
		.made = (uint64_t)time(NULL) - 3700,
		.maker = (uint32_t)getpid(),
		.high = 3,
		.program = "the-program",
	};

	check(ftruncate(fd, strcmp(what, "short") ? (off_t)SESSION_SIZE : 4096) == 0, "ftruncate");
	if (strcmp(what, "good") == 0) {
		put_slots(fd);
	} else if (strcmp(what, "old") == 0) {
		h.version = SESSION_VERSION + 1;
	} else if (strcmp(what, "foreign") == 0) {
		h.magic++;
	} else if (strcmp(what, "hostile") == 0) {
		h.high = UINT32_MAX;
		h.made = UINT64_MAX - 5;
		memset(h.program, '\033', sizeof(h.program));
		put_noise(fd);
	}
	put(fd, &h, sizeof(h), 0);
}

int main(int argc, char **argv)
{
	int fd, status;
	pid_t pid;

	if (argc < 3)
		return 2;
	alarm(60);
	fd = memfd_create(SESSION_FILE_NAME, MFD_CLOEXEC);
	check(fd >= 0, "memfd_create");
	make(fd, argv[1]);
	pid = fork();
	check(pid >= 0, "fork");
	if (pid == 0) {
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	check(waitpid(pid, &status, 0) == pid, "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
