/* SPDX-License-Identifier: MIT */
/* execve: the path, both arrays and their strings in missing pages. */
#include "served.h"

int main(int argc, char **argv)
{
	if (argc > 1) {
		EQ(argc, 3);
		EQ(strcmp(argv[1], "again"), 0);
		EQ(strlen(argv[2]), 6000);
		EQ(strspn(argv[2], "x"), 6000);
		CHECK(getenv("ABI_EXEC") && strcmp(getenv("ABI_EXEC"), "yes") == 0);
		return 0;
	}
	serve();
	char path[PG] = {0}, large[6001] = {0};
	CHECK(readlink("/proc/self/exe", path, sizeof path - 1) > 0);
	memset(large, 'x', 6000);
	char *args[4] = {lend_string("abi"), lend_string("again"), lend(large, 6001), NULL};
	/* What else is in the environment may matter to who runs the test. */
	char *env[200];
	int n = 0;
	for (; environ[n] && n < 198; n++)
		env[n] = environ[n];
	env[n++] = lend_string("ABI_EXEC=yes");
	env[n] = NULL;
	SYS(SYS_execve, lend_string(path), lend_over(args, sizeof args),
	    lend_over(env, (n + 1) * sizeof *env));
	return 1;
}
