/* SPDX-License-Identifier: MIT */
/*
 * ledger-check.c - is the ledger of a session in order, after all who used it have ended?
 *
 *     ledger-check [--slots N] [--mib N]
 *
 * Runs inside the session, but without the preload library. N slots at most were ever used, so
 * those of the dead were used again, and N MiB at most are taken by what they left.
 */
#include "front/session.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static int wrong;

__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...)
{
	va_list ap;

	fputs("ledger-check: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	wrong++;
}

static unsigned long number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 0);

	if (*text == 0 || *end != 0) {
		fprintf(stderr, "ledger-check: '%s' is no number\n", text);
		exit(2);
	}
	return value;
}

static int ledger(struct stat *st)
{
	const char *name = getenv(SESSION_ENV), *colon = name ? strchr(name, ':') : NULL;
	int fd = name ? atoi(name) : -1;

	if (!colon || fstat(fd, st) || st->st_ino != strtoull(colon + 1, NULL, 10)) {
		fprintf(stderr, "ledger-check: there is no session here\n");
		exit(1);
	}
	return fd;
}

static bool held(int fd, uint32_t slot)
{
	struct flock lock = {.l_type = F_WRLCK, .l_start = slot, .l_len = 1};

	if (fcntl(fd, F_OFD_GETLK, &lock)) {
		complain("the lock of slot %u cannot be asked for: %s", slot, strerror(errno));
		return false;
	}
	return lock.l_type != F_UNLCK;
}

/* Whatever the dead were doing, it is one of the things that they do. */
static void check_cells(const struct session_door *door, uint32_t slot)
{
	for (unsigned i = 0; i < SESSION_CELLS; i++) {
		const struct session_cell *c = &door->cell[i];
		uint32_t word = atomic_load(&c->word);

		if ((word & CELL_STATE) > CELL_DONE)
			complain("cell %u of slot %u is in no state: %#x", i, slot, word);
		if (word != 0 && c->len > SESSION_DATA)
			complain("cell %u of slot %u has %llu bytes", i, slot,
				 (unsigned long long)c->len);
	}
}

static void check_slot(int fd, const struct session_slot *s, uint32_t number)
{
	uint32_t state = atomic_load(&s->state);

	if (state > SLOT_LIVE)
		complain("slot %u is in no state: %u", number, state);
	if (held(fd, number))
		complain("slot %u is held by process %u, but all have ended", number,
			 atomic_load(&s->pid));
	if (state == SLOT_LIVE && (atomic_load(&s->generation) == 0 || atomic_load(&s->pid) == 0))
		complain("slot %u was nobody's, and in use", number);
	if (memchr(s->comm, 0, sizeof(s->comm)) == NULL ||
	    memchr(s->trap, 0, sizeof(s->trap)) == NULL)
		complain("slot %u has names without an end", number);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"slots", required_argument, NULL, 's'},
		{"mib", required_argument, NULL, 'm'},
		{0},
	};
	unsigned long slots = SESSION_SLOTS, mib = ~0ul, taken;
	const struct session_header *h;
	struct stat st;
	uint32_t high;
	int fd, c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == '?')
			return 2;
		*(c == 's' ? &slots : &mib) = number(optarg);
	}
	fd = ledger(&st);
	/* Before anything is looked at that takes memory by being looked at. */
	taken = (unsigned long)st.st_blocks * 512 >> 20;
	h = mmap(NULL, SESSION_SIZE, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (h == MAP_FAILED || session_valid(h, (uint64_t)st.st_size) != SESSION_GOOD) {
		fprintf(stderr, "ledger-check: this is no ledger of this version\n");
		return 1;
	}
	high = atomic_load(&h->high);
	if (high > slots)
		complain("%u slots were used, and %lu should do", high, slots);
	if (taken > mib)
		complain("%lu MiB are taken, and %lu should do", taken, mib);
	for (uint32_t i = 0; i < high && i < SESSION_SLOTS; i++) {
		const char *base = (const char *)h;

		check_slot(fd, (const struct session_slot *)(base + SESSION_SLOTS_AT) + i, i);
		check_cells((const struct session_door *)(base + SESSION_DOORS_AT) + i, i);
	}
	printf("%u slots, %lu MiB\n", high, taken);
	return wrong != 0;
}
