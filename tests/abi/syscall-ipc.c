/* SPDX-License-Identifier: MIT */
/* System V and POSIX queues, semaphores, and the state of segments in missing pages. */
#include "served.h"

#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

struct message {
	long type;
	char text[200];
};

int main(void)
{
	struct message m = {7, "text"}, *got;

	serve();
	int q = msgget(IPC_PRIVATE, 0600);
	CHECK(q >= 0);
	memset(m.text, 't', sizeof m.text);
	EQ(SYS(SYS_msgsnd, q, lend_over(&m, sizeof m), 200, 0), 0);
	ASKED(2);
	/* The size that is asked for is more than comes. */
	got = lend_over(NULL, 4 * PG);
	EQ(SYS(SYS_msgrcv, q, got, 3 * PG, 0, 0), 200);
	ASKED(2);
	EQ(got->type, 7);
	CHECK(all(got->text, 200, 't'));
	struct msqid_ds *q_state = lend(NULL, sizeof *q_state);
	EQ(SYS(SYS_msgctl, q, IPC_STAT, q_state), 0);
	ASKED(1);
	EQ(q_state->msg_qnum, 0);
	EQ(msgctl(q, IPC_RMID, NULL), 0);

	int s = semget(IPC_PRIVATE, 3, 0600);
	CHECK(s >= 0);
	struct sembuf ops[2] = {{0, 5, 0}, {2, 9, 0}};
	EQ(SYS(SYS_semop, s, lend_over(ops, sizeof ops), 2), 0);
	ASKED(2);
	unsigned short *values = lend(NULL, 6), set[3] = {1, 2, 3};
	EQ(SYS(SYS_semctl, s, 0, GETALL, values), 0);
	ASKED(1);
	CHECK(values[0] == 5 && values[1] == 0 && values[2] == 9);
	EQ(SYS(SYS_semctl, s, 0, SETALL, lend(set, 6)), 0);
	ASKED(1);
	EQ(semctl(s, 1, GETVAL), 2);
	EQ(semctl(s, 0, IPC_RMID), 0);

	int id = shmget(IPC_PRIVATE, 5 * PG, 0600);
	CHECK(id >= 0);
	struct shmid_ds *state = lend(NULL, sizeof *state);
	EQ(SYS(SYS_shmctl, id, IPC_STAT, state), 0);
	ASKED(1);
	EQ(state->shm_segsz, 5 * PG);
	EQ(shmctl(id, IPC_RMID, NULL), 0);

	/* mq_open of the C library leaves out the slash. */
	struct mq_attr attr = {.mq_maxmsg = 4, .mq_msgsize = 2 * PG}, *now;
	char name[32];
	snprintf(name, sizeof name, "abi-mq-%d", getpid());
	long mq = SYS(SYS_mq_open, lend_string(name), O_CREAT | O_RDWR, 0600,
		      lend(&attr, sizeof attr));
	if (mq == -ENOSYS)
		return 0;
	CHECK(mq >= 0);
	EQ(SYS(SYS_mq_unlink, lend_string(name)), 0);
	ASKED(3);
	EQ(SYS(SYS_mq_timedsend, mq, lend_over("queued", 6), 6, 3, NULL), 0);
	ASKED(2);
	char *text = lend(NULL, 2 * PG);
	unsigned *prio = lend(NULL, 4);
	EQ(SYS(SYS_mq_timedreceive, mq, text, 2 * PG, prio, NULL), 6);
	ASKED(2);
	CHECK(memcmp(text, "queued", 6) == 0);
	EQ(*prio, 3);
	now = lend(NULL, sizeof *now);
	EQ(SYS(SYS_mq_getsetattr, mq, NULL, now), 0);
	ASKED(1);
	EQ(now->mq_maxmsg, 4);
	return 0;
}
