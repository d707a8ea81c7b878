/*
 * calls_args.c - system calls whose arguments depend on other arguments.
 *
 * Each makes up a row of the table for the call at hand.
 */
#include "front/calls.h"
#include "front/preload.h"

#include <asm/ioctls.h>
#include <linux/futex.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#ifdef __x86_64__
#include <asm/prctl.h>
#endif

#define FIXED(how, size)                                                                           \
	(struct calls_arg)                                                                         \
	{                                                                                          \
		CALLS_FIXED, how, 0, size                                                          \
	}
#define COUNT(how, arg)                                                                            \
	(struct calls_arg)                                                                         \
	{                                                                                          \
		CALLS_COUNT, how, arg, 1                                                           \
	}

/* ---- futex -------------------------------------------------------------------------------------
 */

/* The word of a shared futex is looked up as if it were to be written. */
static struct calls_arg futex_word(bool private)
{
	return FIXED(private ? CALLS_IN : CALLS_OUT, sizeof(uint32_t));
}

long calls_futex(long nr, const long a[6])
{
	bool private = a[1] & FUTEX_PRIVATE_FLAG;
	struct calls_row row = {.arg[0] = futex_word(private)};

	switch ((int)a[1] & FUTEX_CMD_MASK) {
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
		row.arg[0] = FIXED(CALLS_OUT, sizeof(uint32_t));
		row.arg[3] = FIXED(CALLS_IN, sizeof(struct timespec));
		break;
	case FUTEX_TRYLOCK_PI:
	case FUTEX_UNLOCK_PI:
		row.arg[0] = FIXED(CALLS_OUT, sizeof(uint32_t));
		break;
	case FUTEX_WAIT_REQUEUE_PI:
		row.arg[4] = FIXED(CALLS_OUT, sizeof(uint32_t));
		row.arg[3] = FIXED(CALLS_IN, sizeof(struct timespec));
		break;
	case FUTEX_WAIT:
	case FUTEX_WAIT_BITSET:
		row.arg[3] = FIXED(CALLS_IN, sizeof(struct timespec));
		break;
	case FUTEX_REQUEUE:
	case FUTEX_CMP_REQUEUE:
	case FUTEX_CMP_REQUEUE_PI:
		/* The second one is looked at only to find out whose it is. */
		if (!private)
			row.arg[4] = futex_word(false);
		break;
	case FUTEX_WAKE_OP:
		if (private)
			row.arg[0] = (struct calls_arg){0};
		row.arg[4] = FIXED(CALLS_OUT, sizeof(uint32_t));
		break;
	}
	return calls_again(&row, nr, a);
}

static enum calls_found make_waiters(const long a[6])
{
	enum calls_found found;
	struct futex_waitv one;
	uint64_t at = (uint64_t)a[0];
	long n = a[1];

	found = calls_make(at, (uint64_t)n * sizeof(one), false);
	if (found == CALLS_READY && a[3])
		found = calls_make((uint64_t)a[3], sizeof(struct timespec), false);
	for (; n > 0 && found == CALLS_READY; n--, at += sizeof(one)) {
		if (calls_copy_in(&one, at, sizeof(one)) != 0)
			return CALLS_BAD;
		found = calls_make(one.uaddr, sizeof(uint32_t), !(one.flags & FUTEX_PRIVATE_FLAG));
	}
	return found;
}

long calls_futex_waitv(long nr, const long a[6])
{
	unsigned tries = 0;
	enum calls_found found;
	long ret;

	for (;;) {
		ret = gate_raw(nr, a);
		if (ret != -EFAULT || !front_managing() || (unsigned long)a[1] > FUTEX_WAITV_MAX)
			return ret;
		found = make_waiters(a);
		if (found == CALLS_BAD || (found == CALLS_READY && ++tries == CALLS_TRIES))
			return ret;
	}
}

/* ---- ioctl -------------------------------------------------------------------------------------
 */

#define TERMIOS 36 /* the kernel's */
#define IFREQ	40

static struct calls_arg ioctl_arg(unsigned cmd)
{
	switch (cmd) {
	case TCGETS:
		return FIXED(CALLS_OUT, TERMIOS);
	case TCSETS:
	case TCSETSW:
	case TCSETSF:
		return FIXED(CALLS_IN, TERMIOS);
	case TIOCGWINSZ:
		return FIXED(CALLS_OUT, 8);
	case TIOCSWINSZ:
		return FIXED(CALLS_IN, 8);
	case FIONREAD:
	case TIOCOUTQ:
	case TIOCGPGRP:
	case TIOCGSID:
	case TIOCMGET:
	case TIOCGETD:
	case TIOCGSOFTCAR:
	case SIOCATMARK:
	case FIOGETOWN:
	case SIOCGPGRP:
	case 0x02 /* FIGETBSZ */:
		return FIXED(CALLS_OUT, 4);
	case FIONBIO:
	case FIOASYNC:
	case TIOCSPGRP:
	case TIOCMSET:
	case TIOCMBIS:
	case TIOCMBIC:
	case TIOCSETD:
	case TIOCPKT:
	case TIOCSSOFTCAR:
	case FIOSETOWN:
	case SIOCSPGRP:
		return FIXED(CALLS_IN, 4);
	case TIOCSTI:
		return FIXED(CALLS_IN, 1);
	case SIOCGSTAMP_OLD:
	case SIOCGSTAMPNS_OLD:
		return FIXED(CALLS_OUT, 16);
	case SIOCGIFCONF:
		return FIXED(CALLS_IN | CALLS_OUT, 16);
	}
	if (cmd >> 8 == 0x89)
		return FIXED(CALLS_IN | CALLS_OUT, IFREQ);
	/* Newer ones tell in their number. */
	return FIXED((_IOC_DIR(cmd) & _IOC_WRITE ? CALLS_IN : 0) |
			     (_IOC_DIR(cmd) & _IOC_READ ? CALLS_OUT : 0),
		     (uint16_t)_IOC_SIZE(cmd));
}

long calls_ioctl(long nr, const long a[6])
{
	struct calls_row row = {.arg[2] = ioctl_arg((unsigned)a[1])};

	return calls_again(&row, nr, a);
}

long calls_fcntl(long nr, const long a[6])
{
	struct calls_row row = {0};

	switch ((int)a[1]) {
	case F_GETLK:
	case F_OFD_GETLK:
		row.arg[2] = FIXED(CALLS_IN | CALLS_OUT, sizeof(struct flock));
		break;
	case F_SETLK:
	case F_SETLKW:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		row.arg[2] = FIXED(CALLS_IN, sizeof(struct flock));
		break;
	case F_GETOWN_EX:
	case F_GET_RW_HINT:
	case F_GET_FILE_RW_HINT:
		row.arg[2] = FIXED(CALLS_OUT, 8);
		break;
	case F_SETOWN_EX:
	case F_SET_RW_HINT:
	case F_SET_FILE_RW_HINT:
		row.arg[2] = FIXED(CALLS_IN, 8);
		break;
	}
	return calls_again(&row, nr, a);
}

long calls_prctl(long nr, const long a[6])
{
	struct calls_row row = {0};

	switch ((int)a[0]) {
	case PR_SET_NAME:
		row.arg[1] = (struct calls_arg){CALLS_STRING, CALLS_IN, 0, 1};
		break;
	case PR_GET_NAME:
		row.arg[1] = FIXED(CALLS_OUT, 16);
		break;
	case PR_GET_PDEATHSIG:
	case PR_GET_CHILD_SUBREAPER:
	case PR_GET_TSC:
	case PR_GET_UNALIGN:
		row.arg[1] = FIXED(CALLS_OUT, 4);
		break;
	case PR_GET_TID_ADDRESS:
		row.arg[1] = FIXED(CALLS_OUT, 8);
		break;
	}
	return calls_again(&row, nr, a);
}

/* ---- System V ----------------------------------------------------------------------------------
 */

/* A message is preceded by its type, and so is the result. */
static long receive_message(long nr, const long a[6])
{
	struct calls_row row = {.arg[1] = {CALLS_COUNT, CALLS_OUT, 5, 1}};
	char small[512] __attribute__((aligned(16)));
	size_t size = (size_t)a[2] + sizeof(long);
	long b[6] = {a[0], 0, a[2], a[3], a[4], (long)size}, ret;
	CALLS_ROOM room = {0};

	if (!front_managing() || size < sizeof(long) || size > INT_MAX ||
	    !calls_managed((uint64_t)a[1], size))
		return gate_raw(nr, a);
	if (!calls_room_get(&room, small, sizeof(small), size))
		return -ENOMEM;
	b[1] = (long)room.at;
	ret = calls_again(&row, nr, b);
	if (ret >= 0 && calls_copy_out((uint64_t)a[1], room.at, (size_t)ret + sizeof(long)) != 0)
		return -EFAULT;
	return ret;
}

static long send_message(long nr, const long a[6])
{
	struct calls_row row = {.arg[1] = COUNT(CALLS_IN, 5)};
	const long b[6] = {a[0], a[1], a[2], a[3], 0, a[2] + (long)sizeof(long)};

	return calls_again(&row, nr, b);
}

static size_t control_size(long nr, int cmd)
{
	if (nr == SYS_shmctl)
		return cmd == IPC_INFO	 ? sizeof(struct shminfo)
		       : cmd == SHM_INFO ? sizeof(struct shm_info)
					 : sizeof(struct shmid_ds);
	if (nr == SYS_msgctl)
		return cmd == IPC_INFO || cmd == MSG_INFO ? sizeof(struct msginfo)
							  : sizeof(struct msqid_ds);
	return cmd == IPC_INFO || cmd == SEM_INFO ? sizeof(struct seminfo)
						  : sizeof(struct semid_ds);
}

/* How many semaphores there are decides how long the arrays of GETALL and SETALL are. */
static size_t semaphores(const long a[6])
{
	struct semid_ds ds;

	if (SYS(SYS_semctl, a[0], 0, IPC_STAT, &ds) != 0)
		return 0;
	return ds.sem_nsems;
}

static struct calls_arg semaphore_arg(int cmd)
{
	switch (cmd) {
	case GETPID:
	case GETVAL:
	case GETNCNT:
	case GETZCNT:
	case SETVAL:
		return FIXED(0, 0);
	case GETALL:
		return COUNT(CALLS_OUT, 5);
	case SETALL:
		return COUNT(CALLS_IN, 5);
	}
	return FIXED(CALLS_OUT, (uint16_t)control_size(SYS_semctl, cmd));
}

static long control(long nr, const long a[6])
{
	int at = nr == SYS_semctl ? 3 : 2, cmd = (int)a[at - 1];
	struct calls_row row = {0};
	long b[6] = {a[0], a[1], a[2], a[3], 0, 0};

	if (cmd == IPC_SET) {
		row.arg[at] = FIXED(CALLS_IN, (uint16_t)control_size(nr, cmd));
	} else if (nr == SYS_semctl) {
		row.arg[at] = semaphore_arg(cmd);
		if (row.arg[at].kind == CALLS_COUNT && front_managing())
			b[5] = (long)(semaphores(a) * sizeof(short));
	} else if (cmd != IPC_RMID &&
		   !(nr == SYS_shmctl && (cmd == SHM_LOCK || cmd == SHM_UNLOCK))) {
		row.arg[at] = FIXED(CALLS_OUT, (uint16_t)control_size(nr, cmd));
	}
	return calls_again(&row, nr, b);
}

long calls_ipc(long nr, const long a[6])
{
	switch (nr) {
	case SYS_msgsnd:
		return send_message(nr, a);
	case SYS_msgrcv:
		return receive_message(nr, a);
	}
	return control(nr, a);
}

/* ---- select ------------------------------------------------------------------------------------
 */

long calls_select(long nr, const long a[6])
{
	int nfds = (int)a[0] < 0 ? 0 : (int)a[0] > 65536 ? 65536 : (int)a[0];
	struct calls_arg set =
		FIXED(CALLS_IN | CALLS_OUT, (uint16_t)((nfds + 63) / 64 * sizeof(uint64_t)));
	struct calls_row row = {.arg = {{0}, set, set, set}};
	uint64_t mask[2];
	long b[6] = {a[0], a[1], a[2], a[3], a[4], a[5]};

	if (!front_managing())
		return gate_raw(nr, a);
	row.arg[4] = FIXED(CALLS_IN | CALLS_OUT | CALLS_EVEN, sizeof(struct timespec));
	/* The mask is behind a pointer to its pointer and size. */
	if (nr == SYS_pselect6 && a[5]) {
		if (calls_copy_in(mask, (uint64_t)a[5], sizeof(mask)) != 0)
			return -EFAULT;
		while (mask[0] && mask[1] == sizeof(uint64_t)) {
			enum calls_found found = calls_make(mask[0], sizeof(uint64_t), false);

			if (found == CALLS_BAD)
				return -EFAULT;
			if (found == CALLS_READY)
				break;
		}
		b[5] = (long)mask;
	}
	return calls_after(&row, nr, b);
}

long calls_mincore(long nr, const long a[6])
{
	(void)nr;
	return mincore_look((uint64_t)a[0], (size_t)a[1], (uint64_t)a[2]);
}
