/*
 * freeze.h - what memory in use contains at one instant.
 *
 * The memory is write-protected in rounds. While a round runs, who writes to a protected page goes
 * on at once, and the page is noted and protected again in the next round. When few are left, the
 * last round is done while nobody goes on: so every write is either before its page's protection,
 * and in the picture, or waits until all is protected, and is not. That is the instant, and it
 * costs the last round only, however large the memory is. From then on a page is copied before its
 * first write.
 *
 * One thread does all of it, so there is no race between protecting a page and releasing it.
 */
#ifndef UF_PAGER_FREEZE_H
#define UF_PAGER_FREEZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct freeze;

/* Who wants the contents. All is called on the thread of the freeze. */
struct freeze_client {
	/*
	 * The contents of [offset, offset + len) at the instant; called once for each page, which
	 * may be written to as soon as it returns. May wait, at the cost of those who write. An
	 * error ends it.
	 */
	int (*take)(void *arg, uint64_t offset, const void *bytes, size_t len);
	/*
	 * A piece of work, not a long one: writers may wait meanwhile. 1: there is more to do; 0:
	 * not before freeze_wake, or before `fd` has an event; a negative errno ends it;
	 * FREEZE_DONE, too.
	 */
	int (*work)(void *arg, struct freeze *f);
	int fd;			    /* to poll along, or -1 */
	short (*events)(void *arg); /* POLL* to wait for on it */
	void *arg;
};
#define FREEZE_DONE 2

/*
 * The instant is before this returns. Returns when there is a picture: from then on [addr, addr +
 * len), of this process and page-aligned, has to stay mapped and readable until freeze_end.
 * pause_ns (or NULL): how long the last round took. -EBUSY: another userfaultfd has the memory;
 * -ENOSYS, -EPERM: no userfaultfd that can protect it; -EINVAL. why: a sentence.
 */
int freeze_begin(void *addr, size_t len, const struct freeze_client *client, struct freeze **out,
		 uint64_t *pause_ns, char *why, size_t why_size);
/* work(): calls take for those of [offset, offset + len) that were not taken, and lets them go. */
int freeze_take(struct freeze *f, uint64_t offset, size_t len);
/* Was this page taken? */
bool freeze_taken(const struct freeze *f, uint64_t offset);
/* From any thread: calls work again. */
void freeze_wake(struct freeze *f);
/* Until work has ended it; stop: it ends before its next work. 0, or what ended it. */
int freeze_join(struct freeze *f, bool stop);
/* After that. */
void freeze_free(struct freeze *f);
/* Both. */
int freeze_end(struct freeze *f, bool stop);

#endif
