/*
 * privileges.c - what is given up before anything of a stranger's is read.
 *
 * Filling another process's memory takes its userfaultfd and nothing else. What root keeps when no
 * --user is named is what root is used to: files can be read and written whoever owns them, and a
 * guest that is to be killed is killed.
 */
#include "serve.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static int become(const char *name)
{
	struct passwd *user = getpwnam(name);
	char *end;
	uid_t uid;
	gid_t gid;

	if (user) {
		uid = user->pw_uid;
		gid = user->pw_gid;
	} else {
		uid = (uid_t)strtoul(name, &end, 10);
		gid = uid;
		if (!*name || *end) {
			complain("--user: there is no user '%s'", name);
			return STATUS_USAGE;
		}
	}
	if (geteuid() == uid && getegid() == gid)
		return 0;
	if (geteuid() != 0) {
		complain("--user: only root may become '%s'", name);
		return STATUS_UNABLE;
	}
	if ((user ? initgroups(user->pw_name, gid) : setgroups(0, NULL)) != 0 ||
	    setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0) {
		complain("--user: cannot become '%s': %s", name, strerror(errno));
		return STATUS_UNABLE;
	}
	return 0;
}

#define CAP(n) (1u << (n))

/* 0 or an errno. */
static int keep_capabilities(uint32_t keep)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) != 0)
		return errno;
	for (int i = 0; i < 2; i++) {
		data[i].permitted &= i ? 0 : keep;
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	/* An exec as root would have them all again, but for those that are not in this set. */
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (cap >= 32 || !(keep & CAP(cap)))
			prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	return syscall(SYS_capset, &head, data) != 0 ? errno : 0;
}

int privileges_drop(const struct serve_options *o)
{
	uint32_t keep = 0;
	int status = 0, error;

	if (!o->user && geteuid() == 0)
		keep = CAP(CAP_DAC_OVERRIDE) | CAP(CAP_DAC_READ_SEARCH) | CAP(CAP_KILL);
	error = keep ? keep_capabilities(keep) : 0;
	if (o->user)
		status = become(o->user);
	if (status)
		return status;
	if (!keep)
		error = keep_capabilities(0);
	if (error || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		complain("privileges cannot be given up: %s", strerror(error ? error : errno));
		return STATUS_UNABLE;
	}
	/* After a change of user /proc/self would be root's, and a new keeper could not be made. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	return 0;
}

void privileges_raise_limits(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}
