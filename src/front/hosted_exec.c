/*
 * hosted_exec.c - which programs are static, and how one is started.
 */
#include "front/hosted.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char host_path[PATH_MAX];

void hosted_exec_init(void)
{
	const char *path = getenv(HOSTED_HOST);

	if (path && strlen(path) < sizeof(host_path))
		strcpy(host_path, path);
}

/* An x86-64 program that no dynamic linker starts, and that is not one itself. */
static bool is_static(int fd)
{
	Elf64_Ehdr elf;
	Elf64_Phdr seg;
	bool dynamic = false;

	if (SYS(SYS_pread64, fd, &elf, sizeof(elf), 0) != sizeof(elf) ||
	    memcmp(elf.e_ident, ELFMAG, SELFMAG) != 0 || elf.e_ident[EI_CLASS] != ELFCLASS64 ||
	    elf.e_machine != EM_X86_64 || (elf.e_type != ET_EXEC && elf.e_type != ET_DYN) ||
	    elf.e_phentsize != sizeof(seg))
		return false;
	for (unsigned i = 0; i < elf.e_phnum; i++) {
		if (SYS(SYS_pread64, fd, &seg, sizeof(seg), elf.e_phoff + i * sizeof(seg)) !=
			    sizeof(seg) ||
		    seg.p_type == PT_INTERP)
			return false;
		dynamic = dynamic || seg.p_type == PT_DYNAMIC;
	}
	return elf.e_type == ET_EXEC || dynamic;
}

/* May be the child of a vfork, or a signal handler: nothing but system calls. */
bool hosted_exec(const char *path, struct hosted_exec *out)
{
	size_t len;
	long fd;
	bool yes;

	if (!host_path[0] || !path || SYS(SYS_access, path, X_OK) != 0)
		return false;
	len = strlen(path);
	fd = SYS(SYS_open, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
	if (fd < 0 || len >= PATH_MAX)
		return false;
	yes = is_static((int)fd);
	SYS(SYS_close, fd);
	if (!yes)
		return false;
	out->host = host_path;
	memcpy(stpcpy(out->line, HOSTED_PROGRAM "="), path, len + 1);
	return true;
}

bool hosted_exec_at(int dir, const char *path, int flags, struct hosted_exec *out)
{
	char name[64], found[PATH_MAX];
	long len;

	if (!host_path[0] || !path || SYS(SYS_faccessat, dir, path, X_OK) == -EFAULT)
		return false;
	if (dir == AT_FDCWD || path[0] == '/')
		return hosted_exec(path, out);
	if (path[0] || !(flags & AT_EMPTY_PATH))
		return false;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", dir);
	len = SYS(SYS_readlink, name, found, sizeof(found) - 1);
	if (len <= 0)
		return false;
	found[len] = 0;
	return hosted_exec(found, out);
}

/* As execvp: the first that may be executed. */
bool hosted_exec_search(const char *name, struct hosted_exec *out)
{
	const char *dirs = getenv("PATH");
	char path[PATH_MAX];
	size_t len;

	if (!host_path[0] || !name || !*name || strchr(name, '/'))
		return hosted_exec(name, out);
	for (dirs = dirs ? dirs : "/bin:/usr/bin";; dirs += len + 1) {
		len = strcspn(dirs, ":");
		if (len + strlen(name) + 2 <= sizeof(path)) {
			memcpy(path, dirs, len);
			strcpy(stpcpy(path + len, len ? "/" : ""), name);
			if (SYS(SYS_access, path, X_OK) == 0)
				return hosted_exec(path, out);
		}
		if (!dirs[len])
			return false;
	}
}
