/* SPDX-License-Identifier: MIT */
/* A range of another userfaultfd cannot be unregistered. */
#include "abi.h"

#include <sys/utsname.h>

static bool kernel_before(int major, int minor)
{
	struct utsname name;
	int got_major, got_minor;

	EQ(uname(&name), 0);
	EQ(sscanf(name.release, "%d.%d", &got_major, &got_minor), 2);
	return got_major < major || (got_major == major && got_minor < minor);
}

int main(void)
{
	struct thread t;

	start();
	int fd = uffd_open(0), other = uffd_open(0);
	char *p = map(2);
	EQ(reg(fd, p, PG, MISSING), 0);
	int err = unreg(other, p, PG);
	if (!err && kernel_before(6, 18))
		skip("kernels before 6.18 unregister what belongs to another userfaultfd");
	EQ(err, EINVAL);
	EQ(unreg(other, p, 2 * PG), EINVAL);
	EQ(unreg(other, p + PG, PG), 0);
	reader(&t, p);
	FAULT(fd, p, 0);
	DONE(zeropage(fd, p, PG, 0), PG);
	join(&t);
	return 0;
}
