/* SPDX-License-Identifier: MIT */
/*
 * The calls that userfaultfd never got, each beside the ioctl that does the same.
 *
 *     roads [PAGES [PASSES]]
 *
 * A program of the Userfault library, like callback. The two ways take turns, pass by pass.
 *
 *   mcopy        a SIGBUS handler fills by UFFDIO_COPY, or by uf_mcopy_atomic
 *   remap        pages move by UFFDIO_MOVE, or by uf_remap_pages: one by one, and by 2 MiB
 *   write        every other page is filled by a UFFDIO_COPY of its own, or 64 by one uf_write
 *   write-fault  a reader resolves each fault by UFFDIO_COPY, or by uf_write
 *   page         a callback fills by uf_fill_copy, or returns the page
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <userfault/userfault.h>

#define CONTENTS 0x5a
#define PIECE	 (2 * MIB)
#define BUNCH	 64

static size_t pages, len, passes;
static void *page;

static void must(long result, const char *what)
{
	if (result >= 0)
		return;
	errno = (int)-result;
	die("%s", what);
}

static uint8_t *map_managed(void)
{
	int error = 0;
	uint8_t *area = uf_mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
				0, &error);

	must(error, "uf_mmap");
	must(uf_madvise(area, len, MADV_NOHUGEPAGE), "MADV_NOHUGEPAGE");
	return area;
}

static int open_descriptor(uint64_t features)
{
	struct uf_api api = {.api = UF_API, .features = features};
	int fd = uf_open(O_CLOEXEC);

	if (fd < 0)
		fprintf(stderr, "%s\n", uf_why() ? uf_why() : "there is no reason");
	must(fd, "uf_open");
	must(uf_ioctl(fd, UF_IO_API, &api), "UFFDIO_API");
	return fd;
}

static void register_missing(int fd, void *area)
{
	struct uf_register reg = {.range = {(uintptr_t)area, len},
				  .mode = UF_REGISTER_MODE_MISSING};

	must(uf_ioctl(fd, UF_IO_REGISTER, &reg), "UFFDIO_REGISTER");
}

static void copy_by_ioctl(int fd, uint64_t dst)
{
	struct uf_copy copy = {.dst = dst, .src = (uintptr_t)page, .len = PAGE};

	must(uf_ioctl(fd, UF_IO_COPY, &copy), "UFFDIO_COPY");
}

static void drop(uint8_t *area)
{
	must(uf_madvise(area, len, MADV_DONTNEED), "MADV_DONTNEED");
}

/* Mean cost of touching each page of an empty range. */
static double touch_all(volatile uint8_t *area)
{
	unsigned long sum = 0;
	uint64_t start = now_ns(), end;

	for (size_t at = 0; at < len; at += PAGE)
		sum += area[at];
	end = now_ns();
	check(sum == pages * CONTENTS, "a page did not hold what was put into it");
	return (double)(end - start) / (double)pages;
}

/* The two ways in turns, a first pass of each left out; `run` takes true for the call. */
static void compare(const char *name, double (*run)(bool by_call))
{
	struct samples by_ioctl = {0}, by_call = {0};
	char line[64];

	for (size_t pass = 0; pass <= passes; pass++) {
		double ioctl_cost = run(false), call_cost = run(true);

		if (!pass)
			continue;
		samples_add(&by_ioctl, ioctl_cost);
		samples_add(&by_call, call_cost);
	}
	snprintf(line, sizeof(line), "%s-ioctl", name);
	emit(line, samples_median(&by_ioctl), "ns");
	emit(name, samples_median(&by_call), "ns");
	samples_free(&by_ioctl);
	samples_free(&by_call);
}

static int sigbus_fd;
static bool sigbus_by_call;

static void on_sigbus(int signo, siginfo_t *info, void *context)
{
	uint64_t at = (uintptr_t)info->si_addr & ~(PAGE - 1);

	(void)signo;
	(void)context;
	if (sigbus_by_call)
		must(uf_mcopy_atomic((void *)(uintptr_t)at, page, PAGE), "uf_mcopy_atomic");
	else
		copy_by_ioctl(sigbus_fd, at);
}

static uint8_t *sigbus_area;

static double run_mcopy(bool by_call)
{
	double cost;

	sigbus_by_call = by_call;
	cost = touch_all(sigbus_area);
	drop(sigbus_area);
	return cost;
}

static void compare_mcopy(void)
{
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};

	if (sigaction(SIGBUS, &action, NULL))
		die("sigaction");
	sigbus_fd = open_descriptor(UF_FEATURE_SIGBUS);
	sigbus_area = map_managed();
	register_missing(sigbus_fd, sigbus_area);
	compare("mcopy", run_mcopy);
	uf_munmap(sigbus_area, len);
	uf_close(sigbus_fd);
}

static int move_fd;
static uint8_t *move_area[2];
static size_t move_step;

static void move_one(bool by_call, uint8_t *to, uint8_t *from)
{
	struct uf_move move = {.dst = (uintptr_t)to, .src = (uintptr_t)from, .len = move_step};

	if (by_call)
		must(uf_remap_pages(to, from, move_step), "uf_remap_pages");
	else
		must(uf_ioctl(move_fd, UF_IO_MOVE, &move), "UFFDIO_MOVE");
}

/* There and back again. */
static double run_move(bool by_call)
{
	uint64_t start = now_ns(), end;

	for (int back = 0; back <= 1; back++)
		for (size_t at = 0; at < len; at += move_step)
			move_one(by_call, move_area[!back] + at, move_area[back] + at);
	end = now_ns();
	for (size_t at = 0; at < len; at += PAGE)
		check(move_area[0][at] == (uint8_t)(at / PAGE), "a page was lost on its way");
	return (double)(end - start) / (double)(2 * pages);
}

static void compare_remap(void)
{
	move_fd = open_descriptor(0);
	for (int i = 0; i < 2; i++)
		move_area[i] = map_managed();
	for (size_t at = 0; at < len; at += PAGE)
		move_area[0][at] = (uint8_t)(at / PAGE);
	for (int i = 0; i < 2; i++)
		register_missing(move_fd, move_area[i]);
	move_step = PAGE;
	compare("remap", run_move);
	move_step = PIECE;
	compare("remap-bulk", run_move);
	for (int i = 0; i < 2; i++)
		uf_munmap(move_area[i], len);
	uf_close(move_fd);
}

static int write_fd;
static uint8_t *write_area;

static void write_copies(int fd, uint64_t dst, size_t step, size_t count)
{
	struct uf_resolve resolve[BUNCH];

	for (size_t i = 0; i < count; i++)
		resolve[i] = (struct uf_resolve){
			.dst = dst + i * step,
			.src = (uintptr_t)page,
			.len = PAGE,
			.mode = UF_RESOLVE_COPY,
		};
	must(uf_write(fd, resolve, count * sizeof(*resolve)), "uf_write");
}

static double run_write(bool by_call)
{
	uint64_t dst = (uintptr_t)write_area, start = now_ns(), end;

	for (size_t at = 0; at < len; at += 2 * PAGE * BUNCH) {
		if (by_call)
			write_copies(write_fd, dst + at, 2 * PAGE, BUNCH);
		for (size_t i = 0; !by_call && i < BUNCH; i++)
			copy_by_ioctl(write_fd, dst + at + i * 2 * PAGE);
	}
	end = now_ns();
	for (size_t at = 0; at < len; at += 2 * PAGE)
		check(write_area[at] == CONTENTS, "a page did not hold what was put into it");
	drop(write_area);
	return (double)(end - start) / (double)(pages / 2);
}

static atomic_bool reader_by_call, reader_last;

static void *write_reader(void *argument)
{
	bool last = false;

	(void)argument;
	while (!last) {
		struct uf_msg msg;
		ssize_t n = uf_read(write_fd, &msg, sizeof(msg));
		uint64_t at;

		if (n == -EINTR)
			continue;
		must(n, "uf_read");
		last = atomic_load(&reader_last);
		at = msg.arg.pagefault.address & ~(PAGE - 1);
		if (atomic_load(&reader_by_call))
			write_copies(write_fd, at, PAGE, 1);
		else
			copy_by_ioctl(write_fd, at);
	}
	return NULL;
}

static double run_write_fault(bool by_call)
{
	double cost;

	atomic_store(&reader_by_call, by_call);
	cost = touch_all(write_area);
	drop(write_area);
	return cost;
}

static void compare_write(void)
{
	pthread_t reader;

	write_fd = open_descriptor(0);
	write_area = map_managed();
	register_missing(write_fd, write_area);
	compare("write", run_write);
	errno = pthread_create(&reader, NULL, write_reader, NULL);
	if (errno)
		die("pthread_create");
	compare("write-fault", run_write_fault);
	atomic_store(&reader_last, true);
	*(volatile uint8_t *)write_area = 0;
	pthread_join(reader, NULL);
	uf_munmap(write_area, len);
	uf_close(write_fd);
}

static struct uf_handler *filler;
static uint8_t *filled_area, *returned_area;

static int fill(const struct uf_fault *fault, void *argument)
{
	ssize_t n = uf_fill_copy(filler, (void *)(uintptr_t)fault->page, page, PAGE);

	(void)argument;
	return n < 0 ? (int)n : 0;
}

static const void *give(const struct uf_fault *fault, void *argument)
{
	(void)fault;
	return argument;
}

static double run_page(bool by_call)
{
	uint8_t *area = by_call ? returned_area : filled_area;
	double cost = touch_all(area);

	drop(area);
	return cost;
}

static void compare_page(void)
{
	struct uf_handler *giver;

	filled_area = map_managed();
	returned_area = map_managed();
	must(uf_handle(filled_area, len, UF_REGISTER_MODE_MISSING, fill, NULL, &filler),
	     "uf_handle");
	must(uf_handle_pages(returned_area, len, UF_REGISTER_MODE_MISSING, give, page, &giver),
	     "uf_handle_pages");
	compare("page", run_page);
	must(uf_unhandle(filler), "uf_unhandle");
	must(uf_unhandle(giver), "uf_unhandle");
	uf_munmap(filled_area, len);
	uf_munmap(returned_area, len);
}

int main(int argc, char **argv)
{
	pages = number_argument(argc, argv, 1, 8192);
	passes = number_argument(argc, argv, 2, 9);
	len = pages * PAGE;
	check(len % PIECE == 0, "the pages must fill multiples of 2 MiB");
	page = map_anon(PAGE);
	memset(page, CONTENTS, PAGE);
	compare_mcopy();
	compare_remap();
	compare_write();
	compare_page();
	return 0;
}
