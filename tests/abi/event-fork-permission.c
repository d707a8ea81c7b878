/* SPDX-License-Identifier: MIT */
/* Events of forks are for those with CAP_SYS_PTRACE; a refusal leaves the descriptor usable. */
#include "procs.h"

#include <linux/capability.h>

static void drop_ptrace(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	EQ(syscall(SYS_capget, &header, data), 0);
	data[0].effective &= ~(1u << CAP_SYS_PTRACE);
	data[0].permitted &= ~(1u << CAP_SYS_PTRACE);
	EQ(syscall(SYS_capset, &header, data), 0);
}

int main(void)
{
	start();
	need_features(UFFD_FEATURE_EVENT_FORK);
	drop_ptrace();
	int fd = uffd_new(O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_EVENT_FORK};
	ERR(ioctl(fd, UFFDIO_API, &api), EPERM);
	EQ(api.api, 0);
	EQ(api.features, 0);
	EQ(api.ioctls, 0);
	EQ(uffd_api(fd, UFFD_FEATURE_EVENT_REMAP), 0);
	return 0;
}
