/* SPDX-License-Identifier: MIT */
/* posix_spawn, system and popen take their words out of missing memory. */
#include "libc-serve.h"

#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static struct server server;
static char contents[PG];

static const char *prepared(const char *page)
{
	(void)page;
	return contents;
}

/* A missing page that will turn out to hold the text. */
static char *missing(const char *text)
{
	char *p = map(1);

	strcpy(contents, text);
	EQ(reg(server.fd, p, PG, MISSING), 0);
	return p;
}

static int status_of(pid_t pid)
{
	int status;

	EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int spawned(char *word, char **env)
{
	char *argv[] = {(char *)"sh", (char *)"-c", word, NULL};
	pid_t pid;

	EQ(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, env), 0);
	return status_of(pid);
}

int main(void)
{
	char text[64] = "", *env[2] = {NULL, NULL}, *path;
	posix_spawnattr_t attr;
	char *argv[] = {(char *)"sh", (char *)"-c", (char *)"exit 9", NULL};
	sigset_t set;
	FILE *f;
	pid_t pid;

	start();
	serve(&server, uffd_open_full(0), prepared);

	EQ(spawned(missing("exit 7"), environ), 7);
	EQ(served(&server), 1);

	env[0] = missing("WORD=there");
	EQ(spawned((char *)"test \"$WORD\" = there || exit 8", env), 0);
	EQ(served(&server), 1);

	EQ(WEXITSTATUS(system(missing("exit 6"))), 6);
	EQ(served(&server), 1);

	f = popen(missing("echo said"), "r");
	CHECK(f);
	CHECK(fgets(text, sizeof(text), f));
	EQ(strcmp(text, "said\n"), 0);
	EQ(pclose(f), 0);
	EQ(served(&server), 1);

	/* The path, with every signal blocked in the child and its actions reset. */
	EQ(posix_spawnattr_init(&attr), 0);
	sigfillset(&set);
	EQ(posix_spawnattr_setsigmask(&attr, &set), 0);
	EQ(posix_spawnattr_setsigdefault(&attr, &set), 0);
	EQ(posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF), 0);
	path = missing("/bin/sh");
	EQ(posix_spawn(&pid, path, NULL, &attr, argv, environ), 0);
	EQ(status_of(pid), 9);
	EQ(served(&server), 1);
	CHECK(strcmp(path, "/bin/sh") == 0);
	CHECK(quiet(server.fd));
	serve_no_more(&server);
	return 0;
}
