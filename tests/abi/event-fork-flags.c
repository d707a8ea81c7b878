/* SPDX-License-Identifier: MIT */
/* The child's descriptor has the flags that its parent's was created with, not its present ones. */
#include "procs.h"

static int child_main(int sock, void *arg)
{
	(void)sock;
	(void)arg;
	return 0;
}

int main(void)
{
	static const int flags[] = {0, O_CLOEXEC, O_NONBLOCK, O_CLOEXEC | O_NONBLOCK};

	start();
	need_features(UFFD_FEATURE_EVENT_FORK);
	for (int i = 0; i < 4; i++) {
		struct forker f;
		int fd = uffd_new(flags[i]);
		EQ(uffd_api(fd, UFFD_FEATURE_EVENT_FORK), 0);
		char *p = map(1);
		EQ(reg(fd, p, PG, MISSING), 0);
		/* Non-blocking for now, so that the message can be waited for. */
		EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
		EQ(fcntl(fd, F_SETFD, flags[i] & O_CLOEXEC ? 0 : FD_CLOEXEC), 0);
		int child = fork_with_event(fd, &f, child_main, NULL);
		EQ(fcntl(child, F_GETFL) & (O_NONBLOCK | O_ACCMODE), flags[i] & O_NONBLOCK);
		EQ(fcntl(child, F_GETFD), flags[i] & O_CLOEXEC ? FD_CLOEXEC : 0);
		peer_end(&f.peer);
		close(child);
		close(fd);
	}
	return 0;
}
