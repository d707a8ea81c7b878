/*
 * kernel.c - is the kernel's own userfaultfd permitted to this user, and if not, who refuses it?
 *
 * Everything is tried out. The reason for a refusal is concluded from what differs: a permitted
 * call with UFFD_USER_MODE_ONLY (which needs no privilege since Linux 5.11) next to a refused one
 * without it is the sysctl; a refusal of what needs no privilege can only come from a filter in
 * between.
 */
#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "userfault/abi.h"

static const char *const feature_names[] = {
	"pagefault-flag-wp",
	"event-fork",
	"event-remap",
	"event-remove",
	"missing-hugetlbfs",
	"missing-shmem",
	"event-unmap",
	"sigbus",
	"thread-id",
	"minor-hugetlbfs",
	"minor-shmem",
	"exact-address",
	"wp-hugetlbfs-shmem",
	"wp-unpopulated",
	"poison",
	"wp-async",
	"move",
	"rwp",
	"rwp-async",
};

const char *kernel_feature_name(unsigned bit)
{
	return bit < sizeof(feature_names) / sizeof(feature_names[0]) ? feature_names[bit] : NULL;
}

static int read_sysctl(void)
{
	FILE *f = fopen("/proc/sys/vm/unprivileged_userfaultfd", "re");
	int value = -1;

	if (!f)
		return -1;
	if (fscanf(f, "%d", &value) != 1)
		value = -1;
	fclose(f);
	return value;
}

static int read_seccomp(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char text[256];
	int mode = -1;

	if (!f)
		return -1;
	while (fgets(text, sizeof(text), f))
		if (sscanf(text, "Seccomp: %d", &mode) == 1)
			break;
	fclose(f);
	return mode;
}

static bool may_ptrace(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	if (syscall(SYS_capget, &header, data) != 0)
		return false;
	return data[CAP_TO_INDEX(CAP_SYS_PTRACE)].effective & CAP_TO_MASK(CAP_SYS_PTRACE);
}

/* Ask an open descriptor for its features, and close it. */
static void ask_features(struct kernel_facts *k, int fd)
{
	struct uf_api api = {.api = UF_API};

	if (!k->features_known && ioctl(fd, UF_IO_API, &api) == 0) {
		k->features = api.features;
		k->features_known = true;
	}
	close(fd);
}

static int try_call(struct kernel_facts *k, int flags)
{
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | flags);

	if (fd < 0)
		return errno;
	ask_features(k, fd);
	return 0;
}

static int try_device(struct kernel_facts *k)
{
	int dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	int error = 0;
	int fd;

	if (dev < 0)
		return errno;
	fd = ioctl(dev, UF_IOC_NEW, O_CLOEXEC);
	if (fd < 0)
		error = errno;
	else
		ask_features(k, fd);
	close(dev);
	return error;
}

static bool release_at_least(const char *release, unsigned major, unsigned minor)
{
	unsigned have_major = 0, have_minor = 0;

	sscanf(release, "%u.%u", &have_major, &have_minor);
	return have_major > major || (have_major == major && have_minor >= minor);
}

static enum refusal filter(const struct kernel_facts *k)
{
	return k->seccomp > 0 ? REFUSED_SECCOMP : REFUSED_LSM;
}

static enum refusal who_refuses_user(const struct kernel_facts *k)
{
	switch (k->user_error) {
	case 0:
		return REFUSED_NOT;
	case ENOSYS:
		/* The sysctl is there exactly where userfaultfd is built in. */
		return k->sysctl >= 0 && k->seccomp > 0 ? REFUSED_SECCOMP : REFUSED_MISSING;
	case EINVAL:
		return REFUSED_MISSING; /* older than the flag */
	default:
		if (!release_at_least(k->release, 5, 11) && k->sysctl == 0 && !k->may_ptrace)
			return REFUSED_SYSCTL;
		return filter(k);
	}
}

static enum refusal who_refuses_call(const struct kernel_facts *k)
{
	switch (k->call_error) {
	case 0:
		return REFUSED_NOT;
	case ENOSYS:
		return k->sysctl >= 0 && k->seccomp > 0 ? REFUSED_SECCOMP : REFUSED_MISSING;
	default:
		if (k->user_refused_by == REFUSED_SECCOMP || k->user_refused_by == REFUSED_LSM)
			return k->user_refused_by;
		/* In a user namespace the capability is there but does not count. */
		return k->sysctl == 0 ? REFUSED_SYSCTL : filter(k);
	}
}

void kernel_look(struct kernel_facts *out)
{
	struct utsname name;

	memset(out, 0, sizeof(*out));
	uname(&name);
	memcpy(out->release, name.release, sizeof(out->release));
	memcpy(out->machine, name.machine, sizeof(out->machine));
	out->sysctl = read_sysctl();
	out->seccomp = read_seccomp();
	out->may_ptrace = may_ptrace();
	out->call_error = try_call(out, 0);
	out->user_error = try_call(out, UF_USER_MODE_ONLY);
	out->device_error = try_device(out);
	out->user_refused_by = who_refuses_user(out);
	out->call_refused_by = who_refuses_call(out);
}
