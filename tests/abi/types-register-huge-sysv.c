/* SPDX-License-Identifier: MIT */
/* SysV shared memory in huge pages can be registered, unlike that in small ones. */
#include "kinds.h"

#include <sys/ipc.h>
#include <sys/shm.h>

int main(void)
{
	struct thread t;

	start();
	need_features(UFFD_FEATURE_MISSING_HUGETLBFS);
	int fd = uffd_open(0), id = shmget(IPC_PRIVATE, HUGE_PG, IPC_CREAT | SHM_HUGETLB | 0600);
	if (id < 0)
		skip("no free huge pages");
	char *p = shmat(id, NULL, 0);
	EQ(shmctl(id, IPC_RMID, NULL), 0);
	CHECK(p != (void *)-1);
	struct memory m = {.kind = HUGE_SHARED, .unit = HUGE_PG, .len = HUGE_PG, .p = p};
	REGISTERS(fd, &m, MISSING);
	reader(&t, p + PG);
	FAULT(fd, p, 0);
	DONE(copy(fd, p, source(&m, 1, 3), HUGE_PG, 0), HUGE_PG);
	join(&t);
	EQ(t.byte, 3);
	CHECK(all(p, HUGE_PG, 3));
	CHECK(quiet(fd));
	EQ(shmdt(p), 0);
	EQ(try_read(p, NULL), SIGSEGV);
	return 0;
}
