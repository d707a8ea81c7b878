/*
 * survive HOW [edge] [wrong]: a handler that is right about everything that the ABI permits, and
 * threads that check the contents of every page. HOW is copy, zeropage, continue, move or protect.
 * edge: it waits with an edge-triggered epoll. wrong: it takes EAGAIN for a failure. It says
 * "right" and ends with 0; 1: something is not as it must be; 3: the wrong handler gave up.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "userfault/abi.h"

#define PAGE	((uint64_t)4096)
#define PAGES	((uint64_t)1024)
#define CHUNK	((uint64_t)8) /* pages that are filled together */
#define THREADS 4u

static enum {
	COPY,
	ZEROPAGE,
	CONTINUE,
	MOVE,
	PROTECT
} how;
static bool edge, wrong;
static int uffd, over;
static char *memory, *source, *spare;
static bool removed[PAGES];

static void check(bool good, const char *what)
{
	if (good)
		return;
	perror(what);
	_exit(1);
}

/* The word that a page begins with. */
static uint64_t expected(uint64_t page, bool after)
{
	return after || how == ZEROPAGE ? 0 : page * 0x9e3779b97f4a7c15 | 1;
}

/* ---- The handler ----------------------------------------------------------------------------- */

static void take_message(const struct uf_msg *msg);

/* How many there were. */
static unsigned drain(void)
{
	struct uf_msg msg;
	unsigned n = 0;

	while (read(uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		n++;
		take_message(&msg);
	}
	check(errno == EAGAIN, "read");
	return n;
}

static void wake(uint64_t page)
{
	struct uf_range range = {(uint64_t)memory + page * PAGE, PAGE};

	check(ioctl(uffd, UF_IO_WAKE, &range) == 0, "WAKE");
}

#define UNTOUCHED 0x5555555555555555

/* One try; what the output field says, and errno. */
static int64_t try_fill(uint64_t page, uint64_t n)
{
	uint64_t dst = (uint64_t)memory + page * PAGE, src = (uint64_t)source + page * PAGE;
	struct uf_range range = {dst, n * PAGE};
	struct uf_zeropage zero = {.range = range, .zeropage = UNTOUCHED};
	struct uf_continue cont = {.range = range, .mapped = UNTOUCHED};
	struct uf_copy copy = {.dst = dst, .src = src, .len = n * PAGE, .copy = UNTOUCHED};
	struct uf_move move = {.dst = dst, .len = n * PAGE, .move = UNTOUCHED};

	errno = 0;
	if (removed[page] || how == ZEROPAGE) {
		ioctl(uffd, UF_IO_ZEROPAGE, &zero);
		return zero.zeropage;
	}
	if (how == CONTINUE) {
		ioctl(uffd, UF_IO_CONTINUE, &cont);
		return cont.mapped;
	}
	if (how == MOVE) {
		move.src = (uint64_t)spare + page * PAGE;
		memcpy((void *)move.src, (void *)src, n * PAGE);
		ioctl(uffd, UF_IO_MOVE, &move);
		return move.move;
	}
	ioctl(uffd, UF_IO_COPY, &copy);
	return copy.copy;
}

/* All pages of the chunk that are of one kind. */
static void fill(uint64_t page, uint64_t end)
{
	while (page < end) {
		uint64_t n = 1;
		int64_t done;

		while (page + n < end && removed[page + n] == removed[page])
			n++;
		done = try_fill(page, n);
		if (errno == EAGAIN && wrong) {
			puts("gave up");
			fflush(stdout);
			_exit(3);
		}
		if (errno == 0 || (errno == EAGAIN && done > 0 && done != UNTOUCHED)) {
			check(errno ? done < (int64_t)(n * PAGE) : done == (int64_t)(n * PAGE),
			      "bytes done");
			page += (uint64_t)done / PAGE;
		} else if (errno == EEXIST) {
			wake(page++);
		} else if (errno == EAGAIN) {
			check(done == -EAGAIN || done == UNTOUCHED, "nothing done");
			drain();
		} else {
			check(errno == ENOMEM || errno == EBUSY, "fill");
			check(done == -errno, "the output field");
		}
	}
}

static void release(uint64_t page)
{
	struct uf_writeprotect lift = {{(uint64_t)memory + page * PAGE, PAGE}, 0};

	while (ioctl(uffd, UF_IO_WRITEPROTECT, &lift) != 0) {
		check(errno == EAGAIN || errno == ENOMEM, "WRITEPROTECT");
		if (errno == EAGAIN)
			drain();
	}
}

static void take_message(const struct uf_msg *msg)
{
	uint64_t page, first;

	if (msg->event == UF_EVENT_REMOVE) {
		page = (msg->arg.remove.start - (uint64_t)memory) / PAGE;
		for (; page < (msg->arg.remove.end - (uint64_t)memory) / PAGE; page++)
			removed[page] = true;
		return;
	}
	check(msg->event == UF_EVENT_PAGEFAULT, "an event");
	page = (msg->arg.pagefault.address - (uint64_t)memory) / PAGE;
	first = page - page % CHUNK;
	if (msg->arg.pagefault.flags & UF_PAGEFAULT_FLAG_WP)
		release(page);
	else
		fill(first, first + CHUNK);
}

static void *serve(void *unused)
{
	struct pollfd fds[2] = {{.fd = uffd, .events = POLLIN}, {.fd = over, .events = POLLIN}};
	struct epoll_event event = {.events = EPOLLIN | EPOLLET}, end = {.events = EPOLLIN};
	int ep = epoll_create1(EPOLL_CLOEXEC);
	uint64_t ended;

	(void)unused;
	check(epoll_ctl(ep, EPOLL_CTL_ADD, uffd, &event) == 0, "epoll_ctl");
	check(epoll_ctl(ep, EPOLL_CTL_ADD, over, &end) == 0, "epoll_ctl");
	for (;;) {
		struct epoll_event got;

		if (edge)
			check(epoll_wait(ep, &got, 1, -1) >= 0, "epoll_wait");
		else
			check(poll(fds, 2, -1) >= 0, "poll");
		drain();
		if (read(over, &ended, sizeof(ended)) == sizeof(ended))
			return NULL;
	}
}

/* ---- The program ----------------------------------------------------------------------------- */

static bool after;

static void *touch(void *arg)
{
	uint64_t mine = (uint64_t)(uintptr_t)arg, i, page;

	for (i = 0; i < PAGES; i++) {
		volatile uint64_t *word;

		page = (i * 37 + mine * (PAGES / THREADS)) % PAGES;
		word = (volatile uint64_t *)(memory + page * PAGE);
		if (*word != expected(page, after && page < PAGES / 2)) {
			fprintf(stderr, "page %ju has %jx\n", (uintmax_t)page, (uintmax_t)*word);
			_exit(1);
		}
		/* Each thread has a word of its own. */
		if (how == PROTECT || how == COPY)
			word[1 + mine] = mine + page;
	}
	return NULL;
}

static void run_threads(void)
{
	pthread_t thread[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		check(pthread_create(&thread[i], NULL, touch, (void *)i) == 0, "pthread_create");
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (uint64_t page = 0; page < PAGES && (how == PROTECT || how == COPY); page++)
		for (uint64_t i = 0; i < THREADS; i++)
			check(((uint64_t *)(memory + page * PAGE))[1 + i] == i + page, "a word");
}

static void map_memory(void)
{
	const int prot = PROT_READ | PROT_WRITE;
	int fd = memfd_create("survive", MFD_CLOEXEC);

	check(fd >= 0 && ftruncate(fd, (off_t)(PAGES * PAGE)) == 0, "memfd");
	source = mmap(NULL, PAGES * PAGE, prot, MAP_SHARED, fd, 0);
	spare = mmap(NULL, PAGES * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memory = how == CONTINUE
			 ? mmap(NULL, PAGES * PAGE, prot, MAP_SHARED, fd, 0)
			 : mmap(NULL, PAGES * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(source != MAP_FAILED && spare != MAP_FAILED && memory != MAP_FAILED, "mmap");
	for (uint64_t page = 0; page < PAGES; page++)
		*(uint64_t *)(source + page * PAGE) = expected(page, false);
}

static void open_uffd(void)
{
	struct uf_api api = {.api = UF_API, .features = UF_FEATURE_EVENT_REMOVE};
	struct uf_register reg = {.range = {(uint64_t)memory, PAGES * PAGE}};

	uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	check(uffd >= 0, "userfaultfd");
	check(ioctl(uffd, UF_IO_API, &api) == 0, "API");
	reg.mode = how == CONTINUE ? UF_REGISTER_MODE_MINOR : UF_REGISTER_MODE_MISSING;
	if (how == PROTECT)
		reg.mode |= UF_REGISTER_MODE_WP;
	while (ioctl(uffd, UF_IO_REGISTER, &reg) != 0)
		check(errno == ENOMEM, "REGISTER");
	over = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

/* Nobody but the handler may be asked while it protects. */
static void protect_all(void)
{
	struct uf_writeprotect protect = {{(uint64_t)memory, PAGES * PAGE},
					  UF_WRITEPROTECT_MODE_WP};

	while (ioctl(uffd, UF_IO_WRITEPROTECT, &protect) != 0)
		check(errno == EAGAIN || errno == ENOMEM, "WRITEPROTECT");
}

int main(int argc, char **argv)
{
	static const char *const names[] = {"copy", "zeropage", "continue", "move", "protect"};
	uint64_t one = 1;
	pthread_t server;
	unsigned i;

	for (i = 0; i < 5 && argc > 1 && strcmp(argv[1], names[i]) != 0;)
		i++;
	if (argc < 2 || i == 5)
		return 2;
	how = i;
	for (int a = 2; a < argc; a++) {
		edge |= strcmp(argv[a], "edge") == 0;
		wrong |= strcmp(argv[a], "wrong") == 0;
	}
	alarm(120);
	map_memory();
	open_uffd();
	check(pthread_create(&server, NULL, serve, NULL) == 0, "pthread_create");
	run_threads();
	if (how == PROTECT) {
		protect_all();
		run_threads();
	} else if (how != CONTINUE) {
		after = true;
		check(madvise(memory, PAGES / 2 * PAGE, MADV_DONTNEED) == 0, "madvise");
		run_threads();
	}
	check(write(over, &one, sizeof(one)) == sizeof(one), "eventfd");
	pthread_join(server, NULL);
	puts("right");
	return 0;
}
