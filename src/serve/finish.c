/*
 * finish.c - what becomes of guests when serving ends before they do.
 *
 * A guest whose memory is all there needs no server: its memory is let go, and what it gives back
 * from then on is zero when it is touched, which is what it would get here. From one that misses
 * pages they must not be taken as zeros: they fail, or the guest does.
 */
#include "serve.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <userfault/abi.h>

#define TRIES 1000

static bool is_missing(const struct server *s, uint8_t state)
{
	switch ((enum page_state)(state & PAGE_STATE_MASK)) {
	case PAGE_MISSING:
	case PAGE_FETCHING:
	case PAGE_EVICTED:
		return true;
	case PAGE_FAILED: /* poison stays */
		return s->o->on_failure != FAILURE_POISON;
	case PAGE_PRESENT:
	case PAGE_REMOVED:
	case PAGE_STATES:
		return false;
	}
	return true;
}

static const uint8_t *states_of(const struct guest_file *f)
{
	return (const uint8_t *)f + f->states_at;
}

bool finish_complete(struct server *s, struct guest *g)
{
	const struct guest_file *f = guest_shared(g);
	const uint8_t *states = states_of(f);

	for (uint32_t i = 0; i < f->nregions; i++) {
		const struct guest_region *r = &f->region[i];

		for (uint64_t j = 0; r->size && j < r->size / r->page_size; j++)
			if (is_missing(s, states[r->first + j]))
				return false;
	}
	return true;
}

/* Events that nobody reads keep every fill from being done. */
static void drain(int uffd)
{
	char messages[32 * 16];

	while (read(uffd, messages, sizeof(messages)) > 0)
		;
	sched_yield();
}

/* As much of it as is empty. */
static bool poison(int uffd, uint64_t addr, uint64_t len, uint64_t page)
{
	unsigned tries = 0;

	while (len > 0 && tries < TRIES) {
		struct uf_poison p = {.range = {.start = addr, .len = len}};
		uint64_t done;

		if (ioctl(uffd, UF_IO_POISON, &p) == 0)
			return true;
		if (errno == ESRCH || errno == ENOENT)
			return true;
		done = p.updated > 0 && (uint64_t)p.updated <= len ? (uint64_t)p.updated : 0;
		if (!done && errno == EEXIST)
			done = page;
		else if (!done && errno != EAGAIN)
			return false;
		if (!done) {
			drain(uffd);
			tries++;
			continue;
		}
		addr += done;
		len -= done;
		tries = 0;
	}
	return len == 0;
}

static bool poison_missing(struct server *s, struct guest *g, uint64_t *pages)
{
	const struct guest_file *f = guest_shared(g);
	const uint8_t *states = states_of(f);
	bool good = true;

	for (uint32_t i = 0; i < f->nregions; i++) {
		const struct guest_region *r = &f->region[i];
		uint64_t n = r->size / r->page_size, from = 0;

		for (uint64_t j = 0; j < n; j = from) {
			while (j < n && !is_missing(s, states[r->first + j]))
				j++;
			for (from = j; from < n && is_missing(s, states[r->first + from]);)
				from++;
			*pages += from - j;
			if (from > j)
				good &= poison(guest_uffd(g), r->addr + j * r->page_size,
					       (from - j) * r->page_size, r->page_size);
		}
	}
	return good;
}

static void let_go(struct guest *g)
{
	const struct guest_file *f = guest_shared(g);

	for (uint32_t i = 0; i < f->nregions; i++) {
		struct uf_range range = {f->region[i].addr, f->region[i].size};

		if (range.len)
			ioctl(guest_uffd(g), UF_IO_UNREGISTER, &range);
	}
}

static int kill_guest(struct guest *g)
{
	if (guest_pidfd(g) < 0)
		return -ESRCH;
	return syscall(SYS_pidfd_send_signal, guest_pidfd(g), SIGKILL, NULL, 0) == 0 ? 0 : -errno;
}

void finish_kill(struct server *s, struct guest *g)
{
	int error = kill_guest(g);
	uint64_t pages = 0;

	if (!error)
		return;
	/* Who connected for it may be gone, and its memory in use. */
	if (poison_missing(s, g, &pages))
		say_often(ENGINE_ERROR,
			  "%s cannot be killed: %s; the %ju pages that it misses are poisoned",
			  guest_name(g), strerror(-error), (uintmax_t)pages);
	else
		say_often(ENGINE_ERROR,
			  "%s cannot be killed: %s; what it misses will read as zero. Serve as its "
			  "user, or as root, for --on-failure=kill",
			  guest_name(g), strerror(-error));
}

void finish_release(struct server *s, struct client *c)
{
	struct guest *g = c->guest;
	uint64_t pages = 0;

	if (finish_complete(s, g)) {
		let_go(g);
		return;
	}
	if (s->o->on_failure == FAILURE_KILL || !poison_missing(s, g, &pages)) {
		say(ENGINE_WARNING, "%s is killed: serving ends before it has all of its memory",
		    guest_name(g));
		finish_kill(s, g);
		return;
	}
	let_go(g);
	say(ENGINE_WARNING,
	    "%s: serving ends before it has all of its memory; %ju pages are poisoned",
	    guest_name(g), (uintmax_t)pages);
}
