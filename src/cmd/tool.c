/*
 * tool.c - commands that are programs of their own, userfault-NAME: they need libraries that
 * `userfault run` is to start without.
 */
#include "cmd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int tool_main(const char *name, char **argv)
{
	char path[PATH_MAX];
	int error;

	if (!tool_find(name, path)) {
		complain("userfault-%s is not there; install Userfault whole (it belongs into %s)",
			 name, UF_TOOL_INSTALLED);
		return STATUS_UNABLE;
	}
	execv(path, argv);
	error = errno;
	complain("'%s' cannot be run: %s", path, strerror(error));
	return STATUS_UNABLE;
}
