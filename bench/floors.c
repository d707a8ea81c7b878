/* SPDX-License-Identifier: MIT */
/*
 * What the machine charges for the steps a fault is made of: the figures no implementation gets
 * below.
 *
 *     floors [SCALE]
 */
#include "bench.h"

#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROUNDS 15

/* The cost of one step, as the median over rounds of count steps each. */
static void measure(const char *name, size_t count, void (*run)(size_t count))
{
	struct samples cost = {0};

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t start = now_ns();

		run(count);
		samples_add(&cost, (double)(now_ns() - start) / (double)count);
	}
	emit(name, samples_median(&cost), "ns");
	samples_free(&cost);
}

static void *closed_page;
static volatile size_t traps_left;

/* The access is retried, and traps again, until the last trap opens the page: every trap but that
 * one is an empty round trip. */
static void on_segv(int signo)
{
	(void)signo;
	if (!--traps_left && mprotect(closed_page, PAGE, PROT_READ))
		_exit(1);
}

static void run_segv(size_t count)
{
	if (mprotect(closed_page, PAGE, PROT_NONE))
		die("mprotect");
	traps_left = count;
	(void)*(volatile char *)closed_page;
}

static void measure_segv(size_t scale)
{
	struct sigaction action = {.sa_handler = on_segv}, old;

	closed_page = map_anon(PAGE);
	if (sigaction(SIGSEGV, &action, &old))
		die("sigaction");
	measure("floor-segv", 2000 * scale, run_segv);
	sigaction(SIGSEGV, &old, NULL);
}

static void run_syscall(size_t count)
{
	for (size_t i = 0; i < count; i++)
		syscall(SYS_getppid);
}

static void run_clock(size_t count)
{
	for (size_t i = 0; i < count; i++)
		(void)*(volatile uint64_t *)&(uint64_t){now_ns()};
}

static char warm_from[PAGE], warm_to[PAGE];

static void run_memcpy_warm(size_t count)
{
	for (size_t i = 0; i < count; i++) {
		memcpy(warm_to, warm_from, PAGE);
		__asm__ volatile("" : : "r"(warm_to) : "memory");
	}
}

/* Pages in random order over more memory than any cache holds. */
static void measure_memcpy_cold(size_t scale)
{
	size_t pages = 16384 * scale;
	uint8_t *from = map_small_pages(pages * PAGE), *to = map_small_pages(pages * PAGE);
	uint32_t *order = random_order(pages, 7);
	struct samples cost = {0};

	memset(from, 1, pages * PAGE);
	memset(to, 2, pages * PAGE);
	for (int round = 0; round < 3; round++) {
		uint64_t start = now_ns();

		for (size_t i = 0; i < pages; i++)
			memcpy(to + order[i] * PAGE, from + order[pages - 1 - i] * PAGE, PAGE);
		samples_add(&cost, (double)(now_ns() - start) / (double)pages);
	}
	emit("floor-memcpy-cold", samples_median(&cost), "ns");
	samples_free(&cost);
	munmap(from, pages * PAGE);
	munmap(to, pages * PAGE);
}

static void run_first_touch(size_t count)
{
	volatile uint8_t *area = map_small_pages(count * PAGE);

	for (size_t i = 0; i < count; i++)
		area[i * PAGE] = 1;
	munmap((void *)area, count * PAGE);
}

#define PIECE (2 * MIB)

/* Writes every page of the file, which has none, step bytes at a time; mean cost of a page. */
static double write_file(const struct memory *m, const uint8_t *from, size_t step)
{
	uint64_t start = now_ns();

	for (size_t at = 0; at < m->len; at += step)
		if (pwrite(m->fd, from, step, (off_t)at) != (ssize_t)step)
			die("pwrite");
	return (double)(now_ns() - start) / (double)(m->len / PAGE);
}

/* Touches the pages that the file has; the kernel maps several of them at a time. */
static double map_file(const struct memory *m)
{
	unsigned long sum = 0;
	uint64_t start = now_ns();

	for (size_t at = 0; at < m->len; at += PAGE)
		sum += ((volatile uint8_t *)m->area)[at];
	check(sum == m->len / PAGE, "a page did not hold what was written to it");
	return (double)(now_ns() - start) / (double)(m->len / PAGE);
}

/* What it costs to give shmem a page by any means but the kernel's own, and to map it. */
static void measure_shmem(size_t scale)
{
	uint8_t *from = map_small_pages(PIECE);
	struct samples one = {0}, many = {0}, mapping = {0};
	struct memory m;

	memset(from, 1, PIECE);
	memory_map(&m, memory_kind("floors", "shmem"), 4 * PIECE * scale);
	for (int round = 0; round < 5; round++) {
		memory_empty(&m, m.len);
		samples_add(&one, write_file(&m, from, PAGE));
		memory_empty(&m, m.len);
		samples_add(&many, write_file(&m, from, PIECE));
		samples_add(&mapping, map_file(&m));
	}
	emit("floor-shmem-one", samples_median(&one), "ns");
	emit("floor-shmem-many", samples_median(&many), "ns");
	emit("floor-shmem-map", samples_median(&mapping), "ns");
	samples_free(&one);
	samples_free(&many);
	samples_free(&mapping);
	memory_unmap(&m);
	munmap(from, PIECE);
}

/* Two threads that hand one word to and fro, spinning for it or asleep until woken. */
struct relay {
	_Alignas(64) atomic_uint turn;
	atomic_bool ready;
	size_t count;
	bool asleep;
	int partner_cpu;
	uint64_t sent;
	struct samples latency;
};

static void wait_turn(struct relay *r, unsigned int turn)
{
	while (atomic_load(&r->turn) != turn)
		if (r->asleep)
			syscall(SYS_futex, &r->turn, FUTEX_WAIT_PRIVATE, !turn, NULL, NULL, 0);
}

static void pass_turn(struct relay *r, unsigned int turn)
{
	atomic_store(&r->turn, turn);
	if (r->asleep)
		syscall(SYS_futex, &r->turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *partner(void *argument)
{
	struct relay *r = argument;

	pin_to_cpu(r->partner_cpu);
	atomic_store(&r->ready, true);
	for (size_t i = 0; i < r->count; i++) {
		wait_turn(r, 1);
		if (r->asleep)
			samples_add(&r->latency, (double)(now_ns() - r->sent));
		pass_turn(r, 0);
	}
	return NULL;
}

static void start_partner(struct relay *r, pthread_t *thread)
{
	check(!pthread_create(thread, NULL, partner, r), "pthread_create failed");
	/* It is born on this CPU, where a spinner would keep it from ever leaving. */
	while (!atomic_load(&r->ready))
		sched_yield();
}

/* A round trip is two hand-overs. */
static void run_spin(size_t count)
{
	struct relay r = {.count = count / 2, .partner_cpu = 1};
	pthread_t thread;

	start_partner(&r, &thread);
	for (size_t i = 0; i < r.count; i++) {
		pass_turn(&r, 1);
		wait_turn(&r, 0);
	}
	pthread_join(thread, NULL);
}

/* From the call that wakes to the woken thread's first step, after it had the time to fall asleep.
 */
static void measure_wakeup(const char *name, size_t count, int partner_cpu)
{
	struct relay r = {.count = count, .asleep = true, .partner_cpu = partner_cpu};
	pthread_t thread;

	start_partner(&r, &thread);
	for (size_t i = 0; i < r.count; i++) {
		uint64_t idle_from = now_ns();

		while (now_ns() - idle_from < 50000)
			;
		r.sent = now_ns();
		pass_turn(&r, 1);
		wait_turn(&r, 0);
	}
	pthread_join(thread, NULL);
	emit(name, samples_median(&r.latency), "ns");
	samples_free(&r.latency);
}

static void measure_handing_over(size_t scale)
{
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		die("sched_getaffinity");
	pin_to_cpu(0);
	measure_wakeup("floor-wakeup-one-cpu", 500 * scale, 0);
	if (CPU_COUNT(&cpus) < 2)
		return;
	measure_wakeup("floor-wakeup-two-cpus", 500 * scale, 1);
	measure("floor-spin", 2000 * scale, run_spin);
}

int main(int argc, char **argv)
{
	size_t scale = number_argument(argc, argv, 1, 4);

	measure_segv(scale);
	measure("floor-syscall", 20000 * scale, run_syscall);
	measure("floor-clock", 20000 * scale, run_clock);
	memset(warm_from, 1, PAGE);
	measure("floor-memcpy-warm", 20000 * scale, run_memcpy_warm);
	measure_memcpy_cold(scale);
	measure("floor-first-touch", 4096 * scale, run_first_touch);
	measure_shmem(scale);
	measure_handing_over(scale);
	return 0;
}
