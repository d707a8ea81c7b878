/*
 * program.c - can PROGRAM run under the preload library?
 *
 * What cannot (programs for another machine or C library, programs that the dynamic linker protects
 * from LD_PRELOAD) would start and run without Userfault, and fail later in a way that nobody
 * understands. So it is found out before. A static program runs in a host.
 */
#include "cmd.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#if __SIZEOF_POINTER__ != 8
#error "only 64-bit machines are served"
#endif

/* How deep the kernel follows scripts whose interpreters are scripts. */
#define SCRIPT_DEPTH 5

enum format {
	FORMAT_UNREADABLE,
	FORMAT_OTHER,
	FORMAT_SCRIPT,
	FORMAT_ELF
};

struct image {
	enum format format;
	unsigned char elf_class;
	uint16_t machine;
	char interpreter[PATH_MAX]; /* of an ELF file or a script; "" when there is none */
};

enum found {
	FOUND,
	ABSENT,
	UNREACHABLE,
	DIRECTORY,
	NOT_EXECUTABLE
};

static enum found look_for(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return errno == ENOENT || errno == ENOTDIR ? ABSENT : UNREACHABLE;
	if (S_ISDIR(st.st_mode))
		return DIRECTORY;
	return access(path, X_OK) == 0 ? FOUND : NOT_EXECUTABLE;
}

/* Complains; the exit status. */
static int not_found(const char *name, enum found what)
{
	switch (what) {
	case FOUND:
		break;
	case ABSENT:
		complain(strchr(name, '/') ? "there is no program '%s'"
					   : "there is no program '%s' in the directories of PATH",
			 name);
		return STATUS_NOT_FOUND;
	case UNREACHABLE:
		complain("cannot look at '%s': %s", name, strerror(errno));
		break;
	case DIRECTORY:
		complain("'%s' is a directory, not a program", name);
		break;
	case NOT_EXECUTABLE:
		complain("'%s' may not be executed by this user; chmod +x may be missing", name);
		break;
	}
	return STATUS_CANNOT_RUN;
}

/* As a shell does: what cannot be executed, or reached, is passed over for what comes later. */
static enum found search(const char *name, const char *dirs, char path[PATH_MAX])
{
	enum found result = ABSENT;

	for (;;) {
		size_t len = strcspn(dirs, ":");

		/* An empty element is the working directory. */
		if (len + 1 + strlen(name) < PATH_MAX) {
			memcpy(path, dirs, len);
			strcpy(path + len, len ? "/" : "");
			strcat(path, name);
			switch (look_for(path)) {
			case FOUND:
				return FOUND;
			case NOT_EXECUTABLE:
				result = NOT_EXECUTABLE;
				break;
			case ABSENT:
			case UNREACHABLE:
			case DIRECTORY:
				break;
			}
		}
		if (!dirs[len])
			return result;
		dirs += len + 1;
	}
}

int program_find(const char *name, char path[PATH_MAX])
{
	const char *dirs = getenv("PATH");
	enum found found;

	if (!*name) {
		complain("the name of PROGRAM is empty");
		return STATUS_USAGE;
	}
	if (!strchr(name, '/')) {
		found = search(name, dirs ? dirs : "/bin:/usr/bin", path);
	} else if (strlen(name) < PATH_MAX) {
		strcpy(path, name);
		found = look_for(path);
	} else {
		errno = ENAMETOOLONG;
		found = UNREACHABLE;
	}
	return found == FOUND ? 0 : not_found(name, found);
}

/* The whole of [off, off + len) of the file, or false. */
static bool read_at(int fd, void *buf, size_t len, uint64_t off)
{
	return off <= INT64_MAX && pread(fd, buf, len, (off_t)off) == (ssize_t)len;
}

static void look_at_elf(int fd, struct image *image)
{
	Elf64_Ehdr header;
	Elf64_Phdr segment;

	if (!read_at(fd, &header, sizeof(header), 0) || header.e_phentsize != sizeof(Elf64_Phdr))
		return;
	for (unsigned i = 0; i < header.e_phnum; i++) {
		if (!read_at(fd, &segment, sizeof(segment), header.e_phoff + i * sizeof(segment)))
			return;
		if (segment.p_type != PT_INTERP)
			continue;
		if (segment.p_filesz < PATH_MAX &&
		    read_at(fd, image->interpreter, segment.p_filesz, segment.p_offset))
			image->interpreter[segment.p_filesz] = 0;
		return;
	}
}

static void look_at_script(const char *line, struct image *image)
{
	size_t len;

	line += 2;
	line += strspn(line, " \t");
	len = strcspn(line, " \t\n");
	memcpy(image->interpreter, line, len);
	image->interpreter[len] = 0;
}

static void look_at(const char *path, struct image *image)
{
	char head[257] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len;

	*image = (struct image){.format = FORMAT_UNREADABLE};
	if (fd < 0)
		return;
	len = pread(fd, head, sizeof(head) - 1, 0);
	image->format = FORMAT_OTHER;
	if (len >= 2 && memcmp(head, "#!", 2) == 0) {
		image->format = FORMAT_SCRIPT;
		look_at_script(head, image);
	} else if (len >= (ssize_t)sizeof(Elf32_Ehdr) && memcmp(head, ELFMAG, SELFMAG) == 0) {
		image->format = FORMAT_ELF;
		image->elf_class = head[EI_CLASS];
		/* At the same place in both classes. */
		memcpy(&image->machine, head + offsetof(Elf32_Ehdr, e_machine),
		       sizeof(image->machine));
		if (image->elf_class == ELFCLASS64)
			look_at_elf(fd, image);
	}
	close(fd);
}

static const char *machine_name(const struct image *image)
{
	switch (image->machine) {
	case EM_386:
		return "32-bit x86";
	case EM_X86_64:
		return image->elf_class == ELFCLASS32 ? "x32" : "x86-64";
	case EM_ARM:
		return "32-bit ARM";
	case EM_AARCH64:
		return "arm64";
	case EM_RISCV:
		return "RISC-V";
	case EM_PPC64:
		return "64-bit POWER";
	case EM_S390:
		return "s390";
	default:
		return "another kind of machine";
	}
}

/* Does the dynamic linker ignore LD_PRELOAD for this file (AT_SECURE)? */
static bool gains_privilege(const char *path)
{
	struct statvfs fs;
	struct stat st;
	char caps[64];

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
		return false;
	if (statvfs(path, &fs) == 0 && (fs.f_flag & ST_NOSUID))
		return false;
	if (stat(path, &st) != 0)
		return false;
	if ((st.st_mode & S_ISUID) && st.st_uid != getuid())
		return true;
	if ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) && st.st_gid != getgid())
		return true;
	return getuid() != 0 && getxattr(path, "security.capability", caps, sizeof(caps)) > 0;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool same_file(const char *a, const char *b)
{
	struct stat sa, sb;

	return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

/* A static program runs where its system calls can be taken. */
static int check_static(const char *name, bool script, bool *hosted)
{
	char host[PATH_MAX];

	if (script) {
		complain("'%s', which a script names as its interpreter, is a static program; run "
			 "'userfault run -- %s' with the script as its argument",
			 name, name);
		return STATUS_CANNOT_RUN;
	}
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0) != 0) {
		complain("'%s' is a static program, and for those this host lacks Syscall User "
			 "Dispatch (Linux 5.11); link it dynamically, or build it with "
			 "libuserfault",
			 name);
		return STATUS_UNABLE;
	}
	if (!host_find(host)) {
		complain("'%s' is a static program, and the program %s that hosts those is not "
			 "there; install Userfault whole",
			 name, UF_HOST_INSTALLED);
		return STATUS_UNABLE;
	}
	*hosted = true;
	return 0;
}

static int check_elf(const char *name, const char *path, const struct image *image, bool script,
		     bool *hosted)
{
	struct image own;

	/* This command and the preload library are built alike. */
	look_at("/proc/self/exe", &own);
	if (own.format != FORMAT_ELF)
		return 0;

	if (image->machine != own.machine || image->elf_class != own.elf_class) {
		complain("'%s' is a program for %s, and Userfault was built for %s", name,
			 machine_name(image), machine_name(&own));
		return STATUS_CANNOT_RUN;
	}
	if (gains_privilege(path)) {
		complain("'%s' runs with other privileges than yours (setuid, setgid or file "
			 "capabilities), and then no library can be preloaded; run it as the user "
			 "whose privileges it takes",
			 name);
		return STATUS_CANNOT_RUN;
	}
	if (!image->interpreter[0]) {
		/* The dynamic linker itself, with a program as its argument, heeds LD_PRELOAD. */
		if (same_file(path, own.interpreter))
			return 0;
		return check_static(name, script, hosted);
	}
	if (strcmp(base_name(image->interpreter), base_name(own.interpreter)) != 0) {
		complain(
			"'%s' is started by %s, and Userfault was built for another C library, the "
			"one of %s",
			name, image->interpreter, own.interpreter);
		return STATUS_CANNOT_RUN;
	}
	if (access(image->interpreter, X_OK) != 0) {
		complain("'%s' needs the dynamic linker %s, which is not there", name,
			 image->interpreter);
		return STATUS_NOT_FOUND;
	}
	return 0;
}

int program_check(const char *name, const char *path, bool *hosted)
{
	struct image image;
	char script[PATH_MAX];
	enum found found;
	int depth;

	*hosted = false;

	look_at(path, &image);
	for (depth = 0; image.format == FORMAT_SCRIPT && depth < SCRIPT_DEPTH; depth++) {
		if (!image.interpreter[0]) {
			complain("'%s' begins with #! but names no interpreter", name);
			return STATUS_CANNOT_RUN;
		}
		found = look_for(image.interpreter);
		if (found != FOUND) {
			complain("'%s' is a script for %s, which %s", name, image.interpreter,
				 found == ABSENT ? "is not there" : "cannot be executed");
			return found == ABSENT ? STATUS_NOT_FOUND : STATUS_CANNOT_RUN;
		}
		strcpy(script, image.interpreter);
		path = script;
		name = script;
		look_at(path, &image);
	}
	/* What cannot be read can still be run, and what it is only the kernel knows. */
	return image.format == FORMAT_ELF ? check_elf(name, path, &image, depth > 0, hosted) : 0;
}

int program_exec_failed(const char *name, int error)
{
	if (error == ENOEXEC)
		complain("'%s' is neither a program for this machine nor a script that names its "
			 "interpreter after #!",
			 name);
	else
		complain("cannot start '%s': %s", name, strerror(error));
	return error == ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_RUN;
}
