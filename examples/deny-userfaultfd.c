// SPDX-License-Identifier: MIT
/*
 * deny-userfaultfd: runs a program as a container runtime would, with the kernel's userfaultfd
 * refused by a seccomp filter, so that one can see what a program does without it.
 *
 * The system call fails with EPERM (or, with --errno=ENOSYS, as on a kernel built without it).
 * USERFAULTFD_IOC_NEW fails as well: root could otherwise get a descriptor from /dev/userfaultfd.
 * The filter is inherited by all children and cannot be taken off again.
 */
#include <errno.h>
#include <getopt.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define IOC_NEW_USERFAULTFD 0xAA00 /* USERFAULTFD_IOC_NEW, which older headers lack */

/*
 * A 64-bit program can also issue system calls by the 32-bit convention of its machine, whose
 * numbers differ. On x86 there is x32 as well: the 64-bit numbers with a bit set, save for ioctl.
 */
#if defined(__x86_64__)
#define NATIVE_OTHER_IOCTL 514
#define COMPAT_ARCH	   AUDIT_ARCH_I386
#define COMPAT_USERFAULTFD 374
#define NUMBER_MASK	   0xBFFFFFFFU
#elif defined(__AARCH64EL__)
#define NATIVE_OTHER_IOCTL SYS_ioctl
#define COMPAT_ARCH	   AUDIT_ARCH_ARM
#define COMPAT_USERFAULTFD 388
#define NUMBER_MASK	   0xFFFFFFFFU
#else
#error "deny-userfaultfd: no system call numbers for this architecture"
#endif
#define COMPAT_IOCTL 54

#define EXIT_USAGE     2
#define EXIT_CANNOT    126
#define EXIT_NOT_FOUND 127

#define LOAD(field)	 BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define JUMP_EQ(k, t, f) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (k), (t), (f))
#define RETURN(action)	 BPF_STMT(BPF_RET | BPF_K, (action))

static int deny(int error)
{
	struct sock_filter code[] = {
		LOAD(arch),
		JUMP_EQ(COMPAT_ARCH, 6, 0),
		LOAD(nr),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, NUMBER_MASK),
		JUMP_EQ(SYS_userfaultfd, 8, 0),
		JUMP_EQ(SYS_ioctl, 5, 0),
		JUMP_EQ(NATIVE_OTHER_IOCTL, 4, 0),
		RETURN(SECCOMP_RET_ALLOW),
		/* the 32-bit convention */
		LOAD(nr),
		JUMP_EQ(COMPAT_USERFAULTFD, 3, 0),
		JUMP_EQ(COMPAT_IOCTL, 0, 3),
		/* an ioctl, by any convention; its command is the low half of the argument */
		LOAD(args[1]),
		JUMP_EQ(IOC_NEW_USERFAULTFD, 0, 1),
		RETURN(SECCOMP_RET_ERRNO | (error & SECCOMP_RET_DATA)),
		RETURN(SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {
		.len = sizeof(code) / sizeof(code[0]),
		.filter = code,
	};

	/* Without it only a privileged process may install a filter. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static int usage(const char *what, const char *detail)
{
	fprintf(stderr,
		"deny-userfaultfd: %s%s; usage: deny-userfaultfd [--errno=EPERM|ENOSYS] -- PROGRAM "
		"[ARGUMENT]...\n",
		what, detail);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"errno", required_argument, NULL, 'e'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int error = EPERM;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "+:", options, NULL)) != -1) {
		switch (option) {
		case 'e':
			if (strcmp(optarg, "EPERM") == 0)
				error = EPERM;
			else if (strcmp(optarg, "ENOSYS") == 0)
				error = ENOSYS;
			else
				return usage("no such error to fail with: ", optarg);
			break;
		case 'h':
			printf("usage: deny-userfaultfd [--errno=EPERM|ENOSYS] -- PROGRAM "
			       "[ARGUMENT]...\n");
			return 0;
		case ':':
			return usage("a value is missing after ", argv[optind - 1]);
		default:
			return usage("unknown option ", argv[optind - 1]);
		}
	}
	if (optind == argc)
		return usage("no program given", "");

	if (deny(error) != 0) {
		fprintf(stderr, "deny-userfaultfd: cannot install the seccomp filter: %s\n",
			strerror(errno));
		return EXIT_CANNOT;
	}
	execvp(argv[optind], &argv[optind]);
	error = errno;
	fprintf(stderr, "deny-userfaultfd: cannot run %s: %s\n", argv[optind], strerror(error));
	return error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT;
}
