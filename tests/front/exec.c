/* SPDX-License-Identifier: MIT */
/*
 * Every way to start a program keeps it under Userfault, whatever the environment. Called with an
 * argument it is the program that was started; its exit status says whether Userfault is there.
 */
#include "abi.h"

#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

#define STATUS_THERE 17

static bool interposed(void)
{
	char line[512];
	bool found = false;
	FILE *maps = fopen("/proc/self/maps", "r");

	CHECK(maps);
	while (fgets(line, sizeof(line), maps))
		found = found || strstr(line, "libuserfault-preload");
	fclose(maps);
	return found;
}

static int started(void)
{
	int fd = uffd_open(0);
	char *p = map(1);
	struct thread t;

	if (!interposed() || !getenv("USERFAULT_TRAP"))
		return 1;
	EQ(reg(fd, p, PG, MISSING), 0);
	reader(&t, p);
	FAULT(fd, p, 0);
	DONE(copy(fd, p, page_of(3), PG, 0), PG);
	join(&t);
	return t.byte == 3 ? STATUS_THERE : 1;
}

static void by_exec(int how, char *self)
{
	char *argv[] = {self, "started", NULL};
	char *bare[] = {"A=b", NULL}, *other[] = {"LD_PRELOAD=libm.so.6", "A=b", NULL};

	switch (how) {
	case 0:
		execve(self, argv, bare);
		break;
	case 1:
		execve(self, argv, other);
		break;
	case 2:
		clearenv();
		execv(self, argv);
		break;
	case 3:
		unsetenv("LD_PRELOAD");
		execvp(self, argv);
		break;
	case 4:
		execvpe(self, argv, bare);
		break;
	case 5:
		clearenv();
		execl(self, self, "started", NULL);
		break;
	case 6:
		clearenv();
		execlp(self, self, "started", NULL);
		break;
	case 7:
		execle(self, self, "started", NULL, bare);
		break;
	case 8:
		fexecve(open(self, O_RDONLY), argv, bare);
		break;
	case 9:
		syscall(SYS_execve, self, argv, bare);
		break;
	case 10:
		execve(self, argv, environ);
		break;
	}
	_exit(99);
}

static int status_of(pid_t pid)
{
	int status;

	EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	char *args[] = {argv[0], "started", NULL}, *bare[] = {NULL};
	pid_t pid;
	int how;

	start();
	if (argc > 1)
		return started();
	for (how = 0; how <= 10; how++) {
		pid = how % 2 ? vfork() : fork();
		CHECK(pid >= 0);
		if (!pid)
			by_exec(how, argv[0]);
		EQ(status_of(pid), STATUS_THERE);
	}
	EQ(posix_spawn(&pid, argv[0], NULL, NULL, args, bare), 0);
	EQ(status_of(pid), STATUS_THERE);
	EQ(posix_spawnp(&pid, argv[0], NULL, NULL, args, bare), 0);
	EQ(status_of(pid), STATUS_THERE);
	return 0;
}
