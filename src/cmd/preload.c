/*
 * preload.c - where the preload library, the host of static programs and the commands that are
 * programs of their own are, and how the program gets the library.
 */
#include "cmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The directory of this executable, without the slash. */
static bool own_directory(char dir[PATH_MAX])
{
	ssize_t len = readlink("/proc/self/exe", dir, PATH_MAX - 1);
	char *slash;

	if (len < 0)
		return false;
	dir[len] = 0;
	slash = strrchr(dir, '/');
	if (!slash)
		return false;
	*slash = 0;
	return true;
}

static bool readable(char path[PATH_MAX], const char *dir, const char *rest)
{
	char joined[PATH_MAX];

	if (snprintf(joined, sizeof(joined), "%s%s", dir, rest) >= (int)sizeof(joined))
		return false;
	/* Absolute and without dots: the program may change its directory before it execs. */
	return access(joined, R_OK) == 0 && realpath(joined, path);
}

static int look(char path[PATH_MAX])
{
	const char *named = getenv("USERFAULT_PRELOAD");
	char dir[PATH_MAX];

	if (named && *named) {
		if (readable(path, named, ""))
			return 0;
		complain("USERFAULT_PRELOAD names '%s', which cannot be read: %s", named,
			 strerror(errno));
		return STATUS_UNABLE;
	}
	if (own_directory(dir) && (readable(path, dir, "/" UF_PRELOAD_BUILD) ||
				   readable(path, dir, "/" UF_PRELOAD_RELATIVE)))
		return 0;
	if (readable(path, UF_PRELOAD_INSTALLED, ""))
		return 0;
	complain(
		"the preload library %s is not there; install Userfault whole, or name the library "
		"in USERFAULT_PRELOAD",
		UF_PRELOAD_INSTALLED);
	return STATUS_UNABLE;
}

int preload_find(char path[PATH_MAX])
{
	int status = look(path);

	if (status == 0 && strpbrk(path, " :")) {
		complain(
			"the dynamic linker cannot preload '%s', whose path has a space or a colon "
			"in it; move Userfault elsewhere",
			path);
		return STATUS_UNABLE;
	}
	return status;
}

bool host_find(char path[PATH_MAX])
{
	char dir[PATH_MAX];

	return (own_directory(dir) && (readable(path, dir, "/" UF_HOST_BUILD) ||
				       readable(path, dir, "/" UF_HOST_RELATIVE))) ||
	       readable(path, UF_HOST_INSTALLED, "");
}

bool tool_find(const char *name, char path[PATH_MAX])
{
	char dir[PATH_MAX], file[64], relative[PATH_MAX];

	snprintf(file, sizeof(file), "/userfault-%s", name);
	snprintf(relative, sizeof(relative), "/" UF_TOOL_RELATIVE "%s", file);
	return (own_directory(dir) &&
		(readable(path, dir, file) || readable(path, dir, relative))) ||
	       readable(path, UF_TOOL_INSTALLED, file);
}

/*
 * The run time of AddressSanitizer ends a program in which another library comes before it, unless
 * it is told that this is meant. It gets to see what we pass on.
 */
static int expect_sanitizer(void)
{
	static const char option[] = "verify_asan_link_order=0";
	const char *before = getenv("ASAN_OPTIONS");
	char *value;
	int error;

	if (!before || !*before)
		return setenv("ASAN_OPTIONS", option, 1);
	if (strstr(before, "verify_asan_link_order"))
		return 0;
	if (asprintf(&value, "%s:%s", before, option) < 0)
		return -1;
	error = setenv("ASAN_OPTIONS", value, 1);
	free(value);
	return error;
}

int preload_set(const char *path)
{
	const char *before = getenv("LD_PRELOAD");
	size_t len = strlen(path);
	char *value;
	int error;

	if (expect_sanitizer() < 0)
		return -1;
	if (!before || !*before)
		return setenv("LD_PRELOAD", path, 1);
	/* A run within a run. */
	if (strncmp(before, path, len) == 0 && (!before[len] || strchr(" :", before[len])))
		return 0;
	if (asprintf(&value, "%s:%s", path, before) < 0)
		return -1;
	error = setenv("LD_PRELOAD", value, 1);
	free(value);
	return error;
}
