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

/* Two threads that hand one word to and fro. */
struct table_tennis {
	_Alignas(64) atomic_uint turn;
	size_t count;
	bool spin;
	int partner_cpu;
};

static void wait_turn(struct table_tennis *t, unsigned int turn)
{
	while (atomic_load(&t->turn) != turn)
		if (!t->spin)
			syscall(SYS_futex, &t->turn, FUTEX_WAIT_PRIVATE, !turn, NULL, NULL, 0);
}

static void pass_turn(struct table_tennis *t, unsigned int turn)
{
	atomic_store(&t->turn, turn);
	if (!t->spin)
		syscall(SYS_futex, &t->turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *partner(void *argument)
{
	struct table_tennis *t = argument;

	pin_to_cpu(t->partner_cpu);
	for (size_t i = 0; i < t->count; i++) {
		wait_turn(t, 1);
		pass_turn(t, 0);
	}
	return NULL;
}

static void play(size_t count, bool spin, int partner_cpu)
{
	struct table_tennis t = {.count = count, .spin = spin, .partner_cpu = partner_cpu};
	pthread_t thread;

	check(!pthread_create(&thread, NULL, partner, &t), "pthread_create failed");
	for (size_t i = 0; i < count; i++) {
		pass_turn(&t, 1);
		wait_turn(&t, 0);
	}
	pthread_join(thread, NULL);
}

/* A round trip is two hand-overs. */
static void run_wakeup_one_cpu(size_t count)
{
	play(count / 2, false, 0);
}

static void run_wakeup_two_cpus(size_t count)
{
	play(count / 2, false, 1);
}

static void run_spin(size_t count)
{
	play(count / 2, true, 1);
}

static void measure_handing_over(size_t scale)
{
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		die("sched_getaffinity");
	pin_to_cpu(0);
	measure("floor-wakeup-one-cpu", 200 * scale, run_wakeup_one_cpu);
	if (CPU_COUNT(&cpus) < 2)
		return;
	measure("floor-wakeup-two-cpus", 200 * scale, run_wakeup_two_cpus);
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
	measure_handing_over(scale);
	return 0;
}
