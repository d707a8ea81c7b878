/* SPDX-License-Identifier: MIT */
/* Futex words and their times in missing pages. */
#include "served.h"

#include <linux/futex.h>
#include <time.h>

static uint32_t *word;
static atomic_int op;

static void *wait_on(void *arg)
{
	(void)arg;
	EQ(SYS(SYS_futex, word, op, 5, NULL), 0);
	return NULL;
}

static long woken(uint32_t *w, int how)
{
	long n;

	do
		n = SYS(SYS_futex, w, how, 1);
	while (n == 0);
	return n;
}

int main(void)
{
	struct timespec soon = {0, 1000};
	uint32_t five = 5;
	struct thread t;

	serve();
	/* Another value than expected, and a time that runs out. */
	EQ(SYS(SYS_futex, lend(&five, 4), FUTEX_WAIT_PRIVATE, 6, NULL), -EAGAIN);
	ASKED(1);
	EQ(SYS(SYS_futex, lend(&five, 4), FUTEX_WAIT, 6, NULL), -EAGAIN);
	ASKED(1);
	EQ(SYS(SYS_futex, lend(&five, 4), FUTEX_WAIT_PRIVATE, 5, lend(&soon, sizeof soon)),
	   -ETIMEDOUT);
	ASKED(2);
	EQ(SYS(SYS_futex, lend(&five, 4), FUTEX_WAIT_BITSET_PRIVATE, 5,
	       lend_over(&soon, sizeof soon), NULL, 1),
	   -ETIMEDOUT);
	ASKED(3);
	/* Nobody waits there: a private one is not even looked at. */
	EQ(SYS(SYS_futex, lend(&five, 4), FUTEX_WAKE_PRIVATE, 1), 0);
	ASKED(0);
	EQ(SYS(SYS_futex, lend(&five, 4), FUTEX_WAKE, 1), 0);
	ASKED(1);
	EQ(SYS(SYS_futex, lend(&five, 4), FUTEX_CMP_REQUEUE_PRIVATE, 1, 1, lend(&five, 4), 6),
	   -EAGAIN);
	ASKED(1);

	/* Wait and wake through missing memory. */
	op = FUTEX_WAIT_PRIVATE;
	word = lend(&five, 4);
	run(&t, wait_on, NULL);
	EQ(woken(word, FUTEX_WAKE_PRIVATE), 1);
	join(&t);
	ASKED(1);
	op = FUTEX_WAIT;
	word = lend(&five, 4);
	run(&t, wait_on, NULL);
	wait_asleep(&t);
	EQ(woken(word, FUTEX_WAKE), 1);
	join(&t);
	asked();

	struct futex_waitv waiters[2] = {
		{.val = 5,
		 .uaddr = (uintptr_t)lend(&five, 4),
		 .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG},
		{.val = 6,
		 .uaddr = (uintptr_t)lend(&five, 4),
		 .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG},
	};
	long ret = SYS(449 /* futex_waitv */, lend_over(waiters, sizeof waiters), 2, 0, NULL, 0);
	if (ret != -ENOSYS) {
		EQ(ret, -EAGAIN);
		ASKED(4);
	}
	return 0;
}
