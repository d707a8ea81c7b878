/* SPDX-License-Identifier: MIT */
/* stdio with its buffer, or the data, in missing memory: what libc reads and writes inside. */
#include "libc-serve.h"

#include <malloc.h>

#define SIZE (4 * PG)

static struct server server;
static char *file_data;

static const char *sevens(const char *page)
{
	static char contents[PG];

	(void)page;
	memset(contents, 7, PG);
	return contents;
}

static char *missing(size_t pages)
{
	char *p = map(pages);

	EQ(reg(server.fd, p, pages * PG, MISSING), 0);
	return p;
}

static FILE *stream(void)
{
	FILE *f = tmpfile();

	CHECK(f);
	EQ(fwrite(file_data, 1, SIZE, f), SIZE);
	EQ(fflush(f), 0);
	rewind(f);
	return f;
}

static void buffered_reads(void)
{
	FILE *f = stream();
	char line[64], *word = missing(1);
	int number;

	/* The whole buffer is read into at once. */
	EQ(setvbuf(f, missing(2), _IOFBF, 2 * PG), 0);
	CHECK(fgets(line, sizeof(line), f));
	EQ(strcmp(line, "line 0 word\n"), 0);
	EQ(served(&server), 2);
	EQ(fscanf(f, "line %d %s", &number, word), 2);
	EQ(number, 1);
	EQ(strcmp(word, "word"), 0);
	EQ(served(&server), 1);
	fclose(f);
}

static void buffered_writes(void)
{
	FILE *f = stream();
	char back[16] = "";

	EQ(setvbuf(f, missing(1), _IOFBF, PG), 0);
	EQ(fputs("changed", f) >= 0, 1);
	EQ(served(&server), 1);
	EQ(fflush(f), 0);
	EQ(pread(fileno(f), back, 7, 0), 7);
	EQ(strcmp(back, "changed"), 0);
	EQ(served(&server), 0);
	fclose(f);
}

/* Large pieces go past the buffer. */
static void direct(void)
{
	FILE *f = stream();
	char *p = missing(2), back[2 * PG];

	EQ(fwrite(p, 1, 2 * PG, f), 2 * PG);
	EQ(fflush(f), 0);
	EQ(served(&server), 2);
	EQ(pread(fileno(f), back, sizeof(back), 0), (ssize_t)sizeof(back));
	CHECK(all(back, sizeof(back), 7));
	fclose(f);

	f = stream();
	p = missing(2);
	EQ(setvbuf(f, NULL, _IONBF, 0), 0);
	EQ(fread(p, 1, 2 * PG, f), 2 * PG);
	EQ(served(&server), 2);
	EQ(memcmp(p, file_data, 2 * PG), 0);
	fclose(f);
}

static void lines(void)
{
	size_t size = 1 << 20;
	char *line = malloc(size), *page;
	FILE *f = stream();

	/* Only what the line takes of it is touched. */
	page = (char *)(((uintptr_t)line + PG) & -PG);
	EQ(reg(server.fd, page, 2 * PG, MISSING), 0);
	EQ(getline(&line, &size, f), 12);
	EQ(strcmp(line, "line 0 word\n"), 0);
	EQ(served(&server), 0);
	EQ(getdelim(&line, &size, 'Z', f), (ssize_t)SIZE - 12);
	EQ(served(&server), 2);
	EQ(unreg(server.fd, page, 2 * PG), 0);
	free(line);
	fclose(f);
}

int main(void)
{
	size_t n = 0;
	int i;

	start();
	/* MALLOC_PERTURB_ would touch the pages of a line before it is registered. */
	mallopt(M_PERTURB, 0);
	file_data = calloc(1, SIZE + 64);
	for (i = 0; n < SIZE; i++)
		n += (size_t)sprintf(file_data + n, "line %d word\n", i);
	serve(&server, uffd_open_full(0), sevens);
	buffered_reads();
	buffered_writes();
	direct();
	lines();
	CHECK(quiet(server.fd));
	serve_no_more(&server);
	return 0;
}
